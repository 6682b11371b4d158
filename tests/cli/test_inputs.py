"""Files as rows: images, arrays and tables, and what is wrong with them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from lepton_ai.bundle import Feature, Profile, Signature, TensorSpec
from lepton_ai.cli.inputs import IMAGES, read_inputs, read_rows
from lepton_ai.core import DataError, LeptonError, ShapeError, StorageError, UnknownNameError, UsageError
from lepton_ai.data.images import EXTENSIONS, ImageFolder


def sign(*shape: int, dtype: str = "FP32") -> Signature:
    return Signature(inputs=(TensorSpec(name="x", dtype=dtype, shape=(-1, *shape)),), outputs=())


def profile(*names: str, generated: bool = False, quantiles: tuple[float, ...] = ()) -> Profile:
    features = tuple(Feature(name=name, kind="number", count=9, quantiles=quantiles) for name in names)
    return Profile(rows=9, inputs={"x": features}, generated=generated)


GREY, RGB, RGBA = (sign(6, 8, channels, dtype="UINT8") for channels in (1, 3, 4))
TABLE = sign(2)


def read(file: Path, signature: Signature = TABLE, known: Profile | None = None) -> list[object]:
    rows, _ = read_rows([file], signature, known)
    found: list[object] = rows.tolist()
    return found


# -- images ----------------------------------------------------------------------------------------------


def test_grey_and_colour(tmp_path: Path) -> None:
    Image.new("RGB", (8, 6), (255, 0, 0)).save(tmp_path / "red.png")
    Image.new("L", (8, 6), 7).save(tmp_path / "grey.jpg", quality=100)
    rows, origins = read_rows([tmp_path / "red.png", tmp_path / "grey.jpg"], GREY, None)
    assert rows.dtype == np.uint8 and rows.shape == (2, 6, 8, 1) and rows[:, 0, 0, 0].tolist() == [76, 7]
    assert origins == [str(tmp_path / "red.png"), str(tmp_path / "grey.jpg")]
    assert read_rows([tmp_path / "red.png"], RGB, None)[0][0, 2, 3].tolist() == [255, 0, 0]
    assert read_rows([tmp_path / "red.png"], RGBA, None)[0][0, 2, 3].tolist() == [255, 0, 0, 255]


def test_images_are_brought_to_size(tmp_path: Path) -> None:
    Image.new("L", (50, 30), 9).save(tmp_path / "large.png")
    assert read_rows([tmp_path / "large.png"], GREY, None)[0].shape == (1, 6, 8, 1)
    free = sign(-1, -1, 1, dtype="UINT8")
    assert read_rows([tmp_path / "large.png"], free, None)[0].shape == (1, 30, 50, 1)
    high = sign(-1, 8, 1, dtype="UINT8")
    assert read_rows([tmp_path / "large.png"], high, None)[0].shape == (1, 30, 8, 1)
    Image.new("L", (8, 6), 9).save(tmp_path / "small.png")
    with pytest.raises(ShapeError, match="files of different shapes .*Predict them one by one"):
        read_rows([tmp_path / "large.png", tmp_path / "small.png"], free, None)


def test_images_are_read_as_in_training(tmp_path: Path) -> None:
    """Sixteen bits, palettes, transparency and turned photographs: exactly what `ImageFolder` makes of them."""
    folder = tmp_path / "data" / "all"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    colour = Image.fromarray(random.integers(0, 256, (40, 30, 3)).astype("uint8"))
    Image.fromarray(random.integers(0, 65536, (40, 30)).astype("uint16")).save(folder / "deep.png")
    colour.quantize(16).save(folder / "palette.png", transparency=0)
    colour.convert("LA").save(folder / "veiled.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    colour.save(folder / "turned.jpg", exif=exif)
    colour.convert("CMYK").save(folder / "print.tiff")
    for channels in (1, 3, 4):
        source = ImageFolder(tmp_path / "data", size=(6, 8), channels=channels)
        rows, _ = read_rows([Path(file) for file in source.files], sign(6, 8, channels, dtype="UINT8"), None)
        for index, file in enumerate(source.files):
            np.testing.assert_array_equal(rows[index], source._decode(file), err_msg=f"{file}, {channels}")
    assert set(IMAGES) == EXTENSIONS


def test_pixels_as_floats_need_a_known_scale(tmp_path: Path) -> None:
    Image.new("L", (8, 6), 255).save(tmp_path / "a.png")
    floats = sign(6, 8, 1)
    assert read_rows([tmp_path / "a.png"], floats, profile("x", quantiles=(0.0, 0.4, 1.0)))[0].max() == 1.0
    assert read_rows([tmp_path / "a.png"], floats, profile("x", quantiles=(0.0, 9.0, 255.0)))[0].max() == 255.0
    for known in (None, profile("x", quantiles=(-2.0, 2.0)), profile("x", quantiles=(0.0, 1.0), generated=True)):
        with pytest.raises(DataError, match="FP32 pixels on a scale that is not known.*Give them as .npy, or let"):
            read_rows([tmp_path / "a.png"], floats, known)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n broken"])
def test_broken_images(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=r"a.png: does not decode as an image \("):
        read(tmp_path / "a.png", GREY)


def test_a_truncated_image(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80)).astype("uint8")).save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:900])
    with pytest.raises(DataError, match="does not decode as an image"):
        read(tmp_path / "a.png", GREY)


def test_an_image_for_a_model_of_something_else(tmp_path: Path) -> None:
    Image.new("L", (8, 6)).save(tmp_path / "a.png")
    for signature, sizes in ((TABLE, r"\(any, 2\)"), (sign(3, 224, 224), r"\(any, 3, 224, 224\)")):
        with pytest.raises(ShapeError, match=f"a.png: an image, but the model takes {sizes}. Give a .npy file"):
            read(tmp_path / "a.png", signature)


# -- arrays ----------------------------------------------------------------------------------------------


def test_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.array([[1, 2], [3, 4]]))
    rows, origins = read_rows([tmp_path / "rows.npy"], TABLE, None)
    assert rows.dtype == np.float32 and rows.tolist() == [[1, 2], [3, 4]]
    assert origins == [f"{tmp_path}/rows.npy[0]", f"{tmp_path}/rows.npy[1]"]
    np.save(tmp_path / "one.npy", np.array([5.0, np.nan]))
    one, origins = read_rows([tmp_path / "one.npy"], TABLE, None)
    assert one.shape == (1, 2) and origins == [str(tmp_path / "one.npy")]
    np.save(tmp_path / "image.npy", np.zeros((6, 8, 1), int))
    assert read_rows([tmp_path / "image.npy"], GREY, None)[0].dtype == np.uint8
    np.save(tmp_path / "fortran.npy", np.asfortranarray(np.arange(6.0).reshape(3, 2)))
    assert read_rows([tmp_path / "fortran.npy"], TABLE, None)[0].flags.c_contiguous


@pytest.mark.parametrize(
    ("values", "signature", "message"),
    [
        (np.zeros((2, 3)), TABLE, r"got \(2, 3\), expected \(any, 2\), the first for the rows"),
        (np.zeros((1, 2, 2, 2)), TABLE, r"got \(1, 2, 2, 2\), expected \(any, 2\)"),
        (np.float64(1), TABLE, r"got \(1,\), expected \(any, 2\)"),
        (np.zeros((0, 2)), TABLE, "holds no rows"),
        (np.full((6, 8, 1), 0.5), GREY, "holds 0.5, expected UINT8 as the model takes"),
        (np.full((6, 8, 1), 256), GREY, "holds 256, expected UINT8"),
        (np.full((6, 8, 1), -1), GREY, "holds -1, expected UINT8"),
        (np.full((6, 8, 1), np.nan), GREY, "holds nan, expected UINT8"),
        (np.array([["a", "b"]]), TABLE, "holds <U1, expected FP32"),
        (np.zeros(1, [("a", "f4")]), TABLE, "a.npy"),
    ],
)
def test_arrays_that_do_not_fit(
    tmp_path: Path,
    values: np.ndarray,
    signature: Signature,
    message: str,
) -> None:
    np.save(tmp_path / "a.npy", values)
    with pytest.raises((ShapeError, DataError), match=message):
        read(tmp_path / "a.npy", signature)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"hello"])
def test_broken_arrays(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"a.npy: is not a plain array \("):
        read(tmp_path / "a.npy")


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="is not a plain array"):
        read(tmp_path / "a.npy")


def test_archives_hold_several(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", np.zeros((1, 2)))
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    with pytest.raises(DataError, match="holds several arrays"):
        read(tmp_path / "a.npy")


# -- tables ----------------------------------------------------------------------------------------------


def table(tmp_path: Path, text: str) -> Path:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    return tmp_path / "a.csv"


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    file = table(tmp_path, "\ufeffage , note,size\n1,x,2\n\n3,y,4\n")
    assert read(file, TABLE, profile("size", "age")) == [[2, 1], [4, 3]]


def test_columns_without_names_come_in_order(tmp_path: Path) -> None:
    file = table(tmp_path, "b,a\n1,2\n")
    assert read(file, TABLE, None) == read(file, TABLE, profile("x0", "x1")) == [[1, 2]]
    assert read(table(tmp_path, "x1,x0\n1,2\n"), TABLE, profile("x0", "x1")) == [[2, 1]]


def test_empty_cells_are_missing(tmp_path: Path) -> None:
    rows = np.array(read(table(tmp_path, 'a,b\n1,\n" ",2\nNaN,"3"\n')))
    np.testing.assert_array_equal(rows, [[1, np.nan], [np.nan, 2], [np.nan, 3]])


@pytest.mark.parametrize(
    ("text", "known", "error", "message"),
    [
        ("", None, DataError, "expected a line of column names and lines of numbers"),
        ("a,b\n", None, DataError, "expected a line of column names and lines of numbers"),
        ("1,2\n3,4\n", None, DataError, "the first line holds numbers, expected the names of the columns"),
        ("a,b\n1,2\n3,lots\n", None, DataError, "row 2, column 'b', got 'lots', expected a number"),
        ("a,b\n1\n", None, DataError, "row 1 has 1 cells, expected 2 as the header"),
        ("a,b\n1,2,3\n", None, DataError, "row 1 has 3 cells, expected 2 as the header"),
        ("a,b,c\n1,2,3\n", None, ShapeError, "got 3, expected 2 columns"),
        (
            "size,agee\n1,2\n",
            ("size", "age"),
            UnknownNameError,
            "lacks a column of the training data: unknown column 'age'. Did you mean 'agee'?",
        ),
        ("Size,Age\n1,2\n", ("size", "age"), UnknownNameError, "unknown column 'size'. Did you mean 'Size'?"),
        ("a,b\n1,2\n", ("size", "age"), UnknownNameError, "unknown column 'size'"),
        ("size,age,age\n1,2,3\n", ("size", "age"), DataError, "two columns are called 'age'"),
        ("a,a\n1,2\n", None, DataError, "two columns are called 'a'"),
    ],
)
def test_tables_that_do_not_fit(
    tmp_path: Path, text: str, known: tuple[str, ...] | None, error: type[Exception], message: str
) -> None:
    file = table(tmp_path, text)
    with pytest.raises(error) as caught:
        read(file, TABLE, None if known is None else profile(*known))
    assert str(caught.value).startswith(str(file)) and message in str(caught.value)


def test_tables_of_whole_numbers(tmp_path: Path) -> None:
    whole = sign(2, dtype="INT64")
    assert read(table(tmp_path, "a,b\n1,2\n"), whole) == [[1, 2]]
    for text in ("a,b\n1,2.5\n", "a,b\n1,\n"):
        with pytest.raises(DataError, match=r"holds (2.5|nan), expected INT64"):
            read(table(tmp_path, text), whole)


def test_tables_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("größe,b\n1,2\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"a.csv: is not a table in UTF-8 \("):
        read(tmp_path / "a.csv")


def test_a_table_for_a_model_of_images(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match=r"a table, but the model takes \(any, 6, 8, 1\). Give a .npy file"):
        read(table(tmp_path, "a,b\n1,2\n"), GREY)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.text(alphabet='ab1.,;\n"\r \t\0', max_size=40), suffix=st.sampled_from(["csv", "npy", "png"]))
def test_any_content_is_read_or_refused(tmp_path: Path, content: str, suffix: str) -> None:
    file = tmp_path / f"any.{suffix}"
    file.write_text(content, newline="")
    try:
        rows, origins = read_rows([file], TABLE, None)
    except LeptonError as error:
        assert str(error).startswith(str(file))
    else:
        assert rows.shape == (len(origins), 2)


# -- files -----------------------------------------------------------------------------------------------


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageError, match=r"no.png: no such file"):
        read(tmp_path / "no.png", GREY)
    with pytest.raises(StorageError, match="is a folder"):
        read(tmp_path)
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(DataError, match=r"files ending in '.txt' are not read. Give images, .npy or .csv files"):
        read(tmp_path / "a.txt")

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    table(tmp_path, "a,b\n1,2\n")
    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(StorageError, match=r"a.csv: cannot be read \(Permission denied\)"):
        read(tmp_path / "a.csv")


def test_a_model_of_several_inputs(tmp_path: Path) -> None:
    two = Signature(inputs=(*TABLE.inputs, *sign(3).inputs), outputs=())
    with pytest.raises(UsageError, match="this model takes 2 inputs"):
        read_rows([tmp_path / "a.csv"], two, None)


# -- texts and columns -----------------------------------------------------------------------------------

TEXTS = sign(dtype="BYTES")
PEOPLE = Signature(
    inputs=(
        TensorSpec(name="age", dtype="FP32", shape=(-1, 1)),
        TensorSpec(name="job", dtype="BYTES", shape=(-1, 1)),
        TensorSpec(name="children", dtype="INT64", shape=(-1,)),
    ),
    outputs=(),
)


def test_lines_of_a_text_file_are_texts(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("好电影\n\na, b\n", encoding="utf-8")
    rows, origins = read_rows([tmp_path / "a.txt"], TEXTS, None)
    assert rows.dtype == object and rows.tolist() == ["好电影", "", "a, b"]
    assert origins == [f"{tmp_path}/a.txt[{index}]" for index in range(3)]
    assert read_rows([tmp_path / "a.txt"], sign(1, dtype="BYTES"), None)[0].shape == (3, 1)
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="b.txt: is not text in UTF-8"):
        read_rows([tmp_path / "b.txt"], TEXTS, None)
    with pytest.raises(ShapeError, match="texts, but the model takes several for each row"):
        read_rows([tmp_path / "a.txt"], sign(4, dtype="BYTES"), None)


def test_a_column_of_texts_is_the_only_one_or_called_as_the_input(tmp_path: Path) -> None:
    assert read_rows([table(tmp_path, "review\ngood\nbad\n")], TEXTS, None)[0].tolist() == ["good", "bad"]
    assert read_rows([table(tmp_path, "n,x\n1,good\n2,\n")], TEXTS, None)[0].tolist() == ["good", ""]
    with pytest.raises(UnknownNameError, match="lacks an input of the model: unknown column 'x'"):
        read_rows([table(tmp_path, "n,m\n1,good\n")], TEXTS, None)


def test_several_inputs_are_columns_by_name(tmp_path: Path) -> None:
    file = table(tmp_path, "job,children,age,other\nnurse,2,31,a\n,0,,b\n")
    inputs, origins = read_inputs([file], PEOPLE, None)
    assert {name: rows.shape for name, rows in inputs.items()} == {"age": (2, 1), "job": (2, 1), "children": (2,)}
    assert inputs["job"].tolist() == [["nurse"], [""]] and inputs["children"].tolist() == [2, 0]
    assert inputs["age"].dtype == np.float32 and np.isnan(inputs["age"][1, 0]) and len(origins) == 2
    with pytest.raises(
        UnknownNameError, match="lacks an input of the model: unknown column 'age'. Did you mean 'agee'"
    ):
        read_inputs([table(tmp_path, "job,children,agee\nnurse,2,31\n")], PEOPLE, None)
    with pytest.raises(DataError, match="holds 2.5, expected INT64 as the model takes"):
        read_inputs([table(tmp_path, "job,children,age\nnurse,2.5,31\n")], PEOPLE, None)
    with pytest.raises(DataError, match="row 1, column 'age', got 'old', expected a number"):
        read_inputs([table(tmp_path, "job,children,age\nnurse,2,old\n")], PEOPLE, None)
    (tmp_path / "a.txt").write_text("x\n")
    with pytest.raises(DataError, match="is no table. Give .csv files with a column for each input"):
        read_inputs([tmp_path / "a.txt"], PEOPLE, None)

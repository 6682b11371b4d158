from lepton_ai.data.tree import leaves, map_paths, map_tree


def test_paths_name_every_leaf_of_a_nest() -> None:
    assert dict(leaves(({"a": 1}, 2), "x")) == {"x[0]['a']": 1, "x[1]": 2}
    assert list(leaves(None, "y")) == []


def test_mapping_keeps_the_structure() -> None:
    tree = ({"a": 1, "b": None}, 2)
    assert map_tree(lambda value: value * 10, tree) == ({"a": 10, "b": None}, 20)
    assert map_paths(lambda value, at: f"{at}={value}", tree, "x") == ({"a": "x[0]['a']=1", "b": None}, "x[1]=2")

"""Checks of images: files that do not decode, odd sizes, blank, blurred and noisy ones, copies, and their labels."""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from lepton_ai.cleaning.check import Check, drawn, listed
from lepton_ai.cleaning.columns import Array
from lepton_ai.cleaning.duplicates import groups_of
from lepton_ai.cleaning.findings import Finding, Severity, many
from lepton_ai.cleaning.images import ImageSubject
from lepton_ai.cleaning.labels import balance, doubts
from lepton_ai.cleaning.neighbours import joined
from lepton_ai.cleaning.perceptual import look_alikes
from lepton_ai.web import count, percent, significant

BLANK = 3.0  # grey levels of 255 that an image varies by at least
FAR = 5.0  # robust standard deviations, of logarithms


class UndecodableImages(Check[ImageSubject]):
    """Files that are damaged, cut short, or no images."""

    name = "undecodable_images"
    about = "files that do not decode"

    def run(self, subject: ImageSubject) -> Iterator[Finding]:
        rows = tuple(sorted(subject.broken))
        if rows:
            yield _drop(
                self.name,
                "error",
                "files that do not decode",
                rows,
                safe=True,
                remedy="leave the files out",
                evidence=f"{_named(subject, rows)}: {subject.broken[rows[0]]}",
            )


class ImageSizes(Check[ImageSubject]):
    """Images of another size than nearly all others, and very small or very long ones."""

    name = "image_sizes"
    about = "images of odd sizes"

    def run(self, subject: ImageSubject) -> Iterator[Finding]:
        sizes = subject.measures.sizes[subject.whole]
        if not len(sizes):
            return
        (height, width), times = Counter(map(tuple, sizes.tolist())).most_common(1)[0]
        one = times >= 0.9 * len(sizes)
        area = subject.measures.sizes.prod(axis=1)
        ratio = np.maximum(subject.measures.sizes.max(axis=1), 1) / np.maximum(subject.measures.sizes.min(axis=1), 1)
        if one:
            odd = (subject.measures.sizes != (height, width)).any(axis=1)
        else:
            odd = (area < 0.02 * np.median(area[subject.whole])) | (ratio > 5 * np.median(ratio[subject.whole]))
        rows = listed(odd & subject.whole)
        if rows:
            sides = "{} x {}".format(*subject.measures.sizes[rows[0]])
            usual = f"nearly all are {height} x {width}" if one else "far smaller or longer than the others"
            yield Finding(
                check=self.name,
                severity="warning",
                title="odd sizes",
                rows=rows,
                count=len(rows),
                action="drop rows",
                action_rows=rows,
                evidence=f"{_named(subject, rows)} is {sides} (height x width); {usual}",
                remedy="resize when reading (ImageFolder(..., size=...)); clean leaves them out",
            )


class BlankImages(Check[ImageSubject]):
    """Images of a single grey level, or nearly."""

    name = "blank_images"
    about = "images that show nothing"

    def run(self, subject: ImageSubject) -> Iterator[Finding]:
        rows = listed(subject.whole & (subject.measures.contrast < BLANK))
        if rows:
            yield _drop(
                self.name,
                "warning",
                "blank images",
                rows,
                safe=True,
                remedy="leave them out: they show nothing",
                evidence=f"{_named(subject, rows)}: all pixels within {BLANK:g} of 255 grey levels",
            )


class BlurredImages(Check[ImageSubject]):
    """Images whose edges are far softer than those of the others."""

    name = "blurred_images"
    about = "images far less sharp than the others"

    def run(self, subject: ImageSubject) -> Iterator[Finding]:
        mask, usual = _far(subject, subject.measures.sharpness, -1)
        rows = listed(mask)
        if rows:
            worst = rows[int(subject.measures.sharpness[list(rows)].argmin())]
            times = usual / max(float(subject.measures.sharpness[worst]), 1e-9)
            soft = f"{significant(times, 2)} times softer than usual here" if times < 1000 else "hardly there at all"
            yield _drop(
                self.name,
                "note",
                "blurred images",
                rows,
                evidence=f"{_named(subject, rows)}; edges of {subject.names[worst]} are {soft}",
                remedy="look at them; clean leaves them out",
            )


class NoisyImages(Check[ImageSubject]):
    """Images with far more noise than the others."""

    name = "noisy_images"
    about = "images far noisier than the others"

    def run(self, subject: ImageSubject) -> Iterator[Finding]:
        mask, usual = _far(subject, subject.measures.noise, 1)
        rows = listed(mask)
        if rows:
            worst = rows[int(subject.measures.noise[list(rows)].argmax())]
            level = significant(float(subject.measures.noise[worst]), 2)
            yield _drop(
                self.name,
                "note",
                "noisy images",
                rows,
                evidence=f"{_named(subject, rows)}; about {level} grey levels of noise in {subject.names[worst]}, "
                f"{significant(usual, 2)} is usual here",
                remedy="look at them; clean leaves them out",
            )


class DuplicateImages(Check[ImageSubject]):
    """Images of equal pixels: copies within a class, and, graver, across classes."""

    name = "duplicate_images"
    about = "images that are equal in every pixel"

    def run(self, subject: ImageSubject) -> Iterator[Finding]:
        usable = np.nonzero(subject.whole & (subject.measures.contrast >= BLANK))[0]
        groups = [usable[group] for group in groups_of(subject.measures.digest[usable])]
        yield from _copies(self.name, subject, groups, "equal", safe=True)


class NearDuplicateImages(Check[ImageSubject]):
    """Images that look alike: other brightness, size or compression of the same picture, by perceptual hashes and the
    correlation of small grey copies."""

    name = "near_duplicate_images"
    about = "images that look alike"
    sampled = True

    def run(self, subject: ImageSubject) -> Iterator[Finding]:
        usable = drawn(np.nonzero(subject.whole & (subject.measures.contrast >= BLANK))[0], subject.limits)
        if len(usable) < 2:
            return
        small = subject.measures.small[usable]
        pairs = look_alikes(small, small)
        digest = subject.measures.digest[usable]
        pairs = pairs[digest[pairs[:, 0]] != digest[pairs[:, 1]]]
        yield from _copies(
            self.name, subject, [usable[group] for group in joined(pairs, len(usable))], "look like", safe=False
        )


class SharedImages(Check[ImageSubject]):
    """Images that the other folder holds too, in the same pixels or nearly."""

    name = "shared_images"
    about = "images that stand in the other folder too"
    sampled = True

    def why_not(self, subject: ImageSubject) -> str:
        return "" if subject.against is not None else "no other data is given"

    def run(self, subject: ImageSubject) -> Iterator[Finding]:
        other = subject.against
        assert other is not None
        mine = drawn(np.nonzero(subject.whole & (subject.measures.contrast >= BLANK))[0], subject.limits)
        theirs = drawn(np.nonzero(other.whole & (other.measures.contrast >= BLANK))[0], subject.limits)
        equal = np.isin(subject.measures.digest, other.measures.digest[theirs]) & subject.whole
        equal &= subject.measures.contrast >= BLANK
        rows = listed(equal)
        if rows:
            yield _drop(
                self.name,
                "error",
                "images in both parts",
                rows,
                safe=True,
                evidence=f"{_named(subject, rows)}: the other data holds the same pixels",
                remedy="leave them out here, not in the test: what was seen in training tells nothing there",
            )
        pairs = look_alikes(subject.measures.small[mine], other.measures.small[theirs])
        close = tuple(sorted(set(mine[pairs[:, 0]].tolist()) - set(rows)))
        if close:
            yield _drop(
                self.name,
                "warning",
                "look-alikes in both parts",
                close,
                evidence=f"{_named(subject, close)}: the other data holds one that looks alike",
                remedy="look at them; clean leaves them out here",
            )


class ImageClassBalance(Check[ImageSubject]):
    """As for tables: one class only, very uneven ones, classes of a few images."""

    name = "class_balance"
    about = "how images are spread over classes"

    def why_not(self, subject: ImageSubject) -> str:
        return "" if len(subject.labels) else "there are no classes"

    def run(self, subject: ImageSubject) -> Iterator[Finding]:
        yield from balance(self.name, subject.labels, subject.codes, "class")


class SuspiciousImageLabels(Check[ImageSubject]):
    """Labels that a kernel model of 16 x 16 grey pixels, which never saw the image, contradicts.

    Northcutt, Jiang, Chuang: Confident Learning: Estimating Uncertainty in Dataset Labels, 2021.
    """

    name = "suspicious_labels"
    about = "labels that a model which never saw the image contradicts"
    sampled = True

    def why_not(self, subject: ImageSubject) -> str:
        return (
            ""
            if len(np.unique(subject.codes[subject.codes >= 0])) > 1 and subject.rows >= 50
            else "needs 50 images of two classes"
        )

    def run(self, subject: ImageSubject) -> Iterator[Finding]:
        usable = subject.whole & (subject.codes >= 0) & (subject.measures.contrast >= BLANK)
        rows = drawn(np.nonzero(usable)[0], subject.limits)
        if len(rows) < 50:
            return
        small = subject.measures.small[rows].astype(np.float32)
        features = small.reshape(len(rows), 16, 2, 16, 2).mean(axis=(2, 4)).reshape(len(rows), -1)
        yield from doubts(
            self.name, features, subject.codes[rows], rows, subject.labels, "class", "kernel", subject.limits.seed
        )


def _far(subject: ImageSubject, values: Array, side: int) -> tuple[Array, float]:
    """Where (N,) a measure lies far from the others on one side, and what is usual."""
    usable = subject.whole & (subject.measures.contrast >= BLANK)
    if usable.sum() < 20:
        return np.zeros(subject.rows, bool), 0.0
    logs = np.log(values + 1e-3)
    middle = float(np.median(logs[usable]))
    spread = max(1.4826 * float(np.median(np.abs(logs[usable] - middle))), 0.05)
    return usable & (side * (logs - middle) > FAR * spread), float(np.exp(middle))


def _copies(check: str, subject: ImageSubject, groups: list[Array], word: str, *, safe: bool) -> Iterator[Finding]:
    across = [group for group in groups if len(set(subject.codes[group].tolist()) - {-1}) > 1]
    within = [group for group in groups if len(set(subject.codes[group].tolist()) - {-1}) <= 1]
    if within:
        later = np.sort(np.concatenate([group[1:] for group in within]))
        one, other = within[0][:2]
        yield Finding(
            check=check,
            severity="warning",
            title="copies",
            rows=tuple(np.sort(np.concatenate(within)).tolist()),
            count=len(later),
            action="drop rows",
            action_rows=tuple(later.tolist()),
            safe=safe,
            evidence=f"{many(len(later), 'image')} ({percent(len(later) / subject.rows)}) {word} an earlier one, "
            f"such as "
            f"{subject.names[other]} and {subject.names[one]}",
            remedy="keep the first of each group",
        )
    if across:
        rows = tuple(np.sort(np.concatenate(across)).tolist())
        one, other = across[0][:2]
        yield Finding(
            check=check,
            severity="error" if safe else "warning",
            title="copies with different labels",
            rows=rows,
            count=len(rows),
            columns=("class",),
            action="drop rows",
            action_rows=rows,
            evidence=f"{many(len(rows), 'image')} {word} one of another class, such as {subject.names[other]} and "
            f"{subject.names[one]}",
            remedy="look at them: one label is wrong; clean leaves all of them out",
        )


def _drop(
    check: str, severity: Severity, title: str, rows: tuple[int, ...], *, evidence: str, remedy: str, safe: bool = False
) -> Finding:
    return Finding(
        check=check,
        severity=severity,
        title=title,
        rows=rows,
        count=len(rows),
        evidence=evidence,
        remedy=remedy,
        action="drop rows",
        action_rows=rows,
        safe=safe,
    )


def _named(subject: ImageSubject, rows: tuple[int, ...]) -> str:
    more = f" and {count(len(rows) - 1)} more" if len(rows) > 1 else ""
    return f"{subject.names[rows[0]]}{more}"

"""Two front doors: say what goes in, what comes out and how large it may be; LPNN and LPDNN do the rest."""

from lepton_ai.tasks.deep import LPDNN
from lepton_ai.tasks.shallow import LPNN
from lepton_ai.tasks.specification import Classes, Columns, Image, Numbers, Series, Text, Vector

__all__ = ["LPDNN", "LPNN", "Classes", "Columns", "Image", "Numbers", "Series", "Text", "Vector"]

from rapids_double.functions import eigh, norm  # noqa: F401

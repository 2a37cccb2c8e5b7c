"""torch.return_types: the named tuples that methods of several results return, printed as torch prints them."""

from __future__ import annotations

from collections import namedtuple
from typing import Any


def _return_type(name: str, fields: str) -> Any:
    def __repr__(self: Any) -> str:  # noqa: N807, the type's own
        lines = ",\n".join(f"{field}={value!r}" for field, value in zip(self._fields, self, strict=True))
        return f"torch.return_types.{name}(\n{lines})"

    made = namedtuple(name, fields)  # type: ignore[misc]
    return type(name, (made,), {"__repr__": __repr__, "__slots__": (), "__module__": __name__})


_FIELDS = {
    **dict.fromkeys(
        ("max", "min", "sort", "topk", "median", "nanmedian", "mode", "kthvalue", "cummax", "cummin"), "values indices"
    ),
    "aminmax": "min max",
    "histogram": "hist bin_edges",
    "svd": "U S V",
    "qr": "Q R",
    "linalg_svd": "U S Vh",
    "linalg_qr": "Q R",
    "linalg_eigh": "eigenvalues eigenvectors",
    "linalg_slogdet": "sign logabsdet",
}


class _Types(dict[str, Any]):
    def __missing__(self, name: str) -> Any:
        """Made when it is first asked for: a type takes longer to make than many a program's step."""
        self[name] = _return_type(name, _FIELDS[name])
        return self[name]


TYPES = _Types()


def __getattr__(name: str) -> Any:
    if name not in _FIELDS:
        raise AttributeError(f"there is no return type {name!r}")
    return TYPES[name]

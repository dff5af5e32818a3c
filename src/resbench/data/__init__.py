"""Data sets of the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resbench.errors import UserError

if TYPE_CHECKING:
    from resbench.data.digits import Dataset

__all__ = ["load_dataset"]


def load_dataset(setting: str) -> Dataset:
    """The data of ``setting``, where they come with the package: the digits.

    CIFAR-10 does not; :func:`resbench.data.cifar10.load_cifar10` reads it from where the user says it is.

    Raises:
        UserError: the setting has no data here.
    """
    if setting == "digits":
        from resbench.data.digits import digits

        return digits()
    raise UserError(f"setting {setting!r} has no data here; settings with data: digits (cifar10: --data cifar10:ROOT)")

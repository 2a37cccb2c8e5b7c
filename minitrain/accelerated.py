"""The former name of with_torch/: import lines that say minitrain.accelerated keep working."""

import importlib
import sys

for _old, _new in (("compare", "compare"), ("crossing", "convert_state")):
    sys.modules[f"{__name__}.{_old}"] = importlib.import_module(f"minitrain.with_torch.{_new}")

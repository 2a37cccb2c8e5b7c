"""The former name of with_torch/, so that old import lines such as minitrain.accelerated.compare keep working."""

import importlib
import sys

for _old, _new in (("compare", "compare"), ("crossing", "convert_state")):
    sys.modules[f"{__name__}.{_old}"] = importlib.import_module(f"minitrain.with_torch.{_new}")

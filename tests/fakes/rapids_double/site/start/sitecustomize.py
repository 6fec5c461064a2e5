"""Started by Python itself where this folder is on PYTHONPATH: a child process gets the double's torch.cuda too."""

import importlib.util
import sys


class _WhenTorchComes:
    """Finds torch as ever, and gives it the double's CUDA once it is there."""

    def find_spec(self, name, path=None, target=None):
        if name != "torch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                from rapids_double import torch_cuda

                torch_cuda.install()

            spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, _WhenTorchComes())

"""cnnviz: see what a convolutional network has learned, which pixels matter to it, and how it is fooled.

The public names are listed in ``__init__.pyi`` and imported on first use (PEP 562), so that ``import cnnviz`` and
``cnnviz --help`` do not import torch, which takes seconds.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

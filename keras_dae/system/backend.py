"""Backend, device and threads of a process, set before keras is imported."""

import ctypes
import gc
import importlib.util
import os
import platform
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from keras_dae.errors import KerasDAEError, UsageError, check
from keras_dae.system.private import torch_device, without_dynamo

# Supported backends of keras 3, and the package that each one needs.
BACKENDS = {"torch": "torch", "jax": "jax", "tensorflow": "tensorflow"}
DEFAULT_BACKEND = "torch"
DEVICES = ("auto", "cpu", "cuda", "mps")
# Optional packages that keras imports, but that are not used here. Importing them takes
# as long as importing keras.
_UNUSED_BY_KERAS = ("jax", "matplotlib", "pandas", "sklearn")
# Training steps with fewer multiply-adds are faster on one thread of torch than on two
# (benchmarks/README.md).
_SHARED_STEP = 3e6
# Numbers of two thresholds for glibc's mallopt.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_PACKAGE = Path(str(sys.modules["keras_dae"].__file__)).parent
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)


def set_default_backend() -> None:
    """Choose the backend: that of keras if it is imported, else `KERAS_BACKEND`.

    The default is torch, or tensorflow if a program has imported tensorflow and not
    torch. The file in which keras stores its own default is ignored, since keras writes
    it at the first import. Child processes inherit the choice.

    Raises:
        UsageError: `KERAS_BACKEND` is torch and a CUDA build of torch would be imported
            after tensorflow, which can crash the process.
    """
    chosen = in_use() or os.environ.get("KERAS_BACKEND")
    if chosen is None:
        chosen = "tensorflow" if _torch_would_follow() else DEFAULT_BACKEND
    elif chosen == "torch" and _torch_would_follow():
        raise UsageError(
            "KERAS_BACKEND=torch, but tensorflow was imported first, and torch for "
            "CUDA can crash when it is imported after tensorflow; import keras_dae "
            "before tensorflow."
        )
    os.environ["KERAS_BACKEND"] = chosen
    _forget_failed_import()


def in_use() -> str | None:
    """Return the backend of keras in this process; None before keras is imported."""
    keras = sys.modules.get("keras")
    config = getattr(keras, "backend", None)
    return None if config is None else str(config.backend())


def _torch_would_follow() -> bool:
    """Return whether torch for CUDA would be imported after tensorflow."""
    imported = sys.modules.get("tensorflow") is not None
    return imported and "torch" not in sys.modules and not _is_cpu_build()


def _is_cpu_build() -> bool:
    # macOS builds have no CUDA; the version of other CPU builds says so.
    return sys.platform == "darwin" or package_version("torch").endswith("+cpu")


def _forget_failed_import() -> None:
    """Remove the modules of keras after a failed import, so that it can be retried.

    `import keras` fails if its default backend, tensorflow, is not installed. The
    modules imported up to then would keep that backend.
    """
    if "keras" not in sys.modules:
        for module in [name for name in sys.modules if name.startswith("keras.")]:
            del sys.modules[module]


def name() -> str:
    """Return the backend: that of keras if it is imported, else the chosen one.

    Returns:
        'torch', 'jax' or 'tensorflow'.

    Raises:
        UsageError: the backend cannot train, or its package is not installed.
    """
    if running := in_use():
        check(
            running in BACKENDS,
            f"keras was imported with a backend that cannot train; import keras_dae "
            f"first, or set KERAS_BACKEND to one of {', '.join(BACKENDS)}.",
            backend=running,
        )
        return running
    chosen = os.environ.get("KERAS_BACKEND", DEFAULT_BACKEND)
    check(
        chosen in BACKENDS,
        f"KERAS_BACKEND must be one of {', '.join(BACKENDS)}.",
        KERAS_BACKEND=chosen,
    )
    if importlib.util.find_spec(BACKENDS[chosen]) is None:
        raise UsageError(
            f"KERAS_BACKEND={chosen} needs the package {BACKENDS[chosen]}, which is "
            f'not installed. Run: pip install "keras-dae[{chosen}]"'
        )
    return chosen


def select(device: str = "auto", threads: int | None = None) -> None:
    """Choose device and threads for this process; call it before keras is imported.

    Only commands call it, since it changes the environment, the imports of keras, the
    garbage collector and the memory allocator. The functions of the library never do.

    Args:
        device: 'auto' (CUDA if it is available), 'cpu', 'cuda', or 'mps' (torch on a
            Mac; the fast steps are not used there).
        threads: CPU threads per operation; None leaves the choice to the backend.

    Raises:
        UsageError: the device is unknown, or the backend does not find it.
        KerasDAEError: keras cannot be imported.
    """
    check(
        device in DEVICES, f"device must be one of {', '.join(DEVICES)}.", device=device
    )
    check(threads is None or threads > 0, "threads must be positive.", threads=threads)
    backend = name()
    if threads is not None:
        for variable in _THREAD_VARIABLES:
            os.environ[variable] = str(threads)
    if device == "cpu":
        _hide_accelerators(backend)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if device == "cuda" and not has_cuda():
        raise UsageError(
            f"--device cuda was asked for, but {backend} finds no CUDA device here; "
            "use --device cpu or auto."
        )
    if device == "mps":
        if not _has_mps(backend):
            raise UsageError(
                f"--device mps was asked for, but {backend} finds no Metal device "
                "here; use --device cpu or auto."
            )
        os.environ["KERAS_TORCH_DEVICE"] = "mps"
    import_keras(backend)
    keep_freed_memory(backend)
    if backend == "torch" and threads is not None:
        import torch

        torch.set_num_threads(threads)


def prepare() -> None:
    """Prepare a process for untrusted models: call `select`, and warm up."""
    select()
    import keras

    keras.ops.convert_to_numpy(keras.ops.zeros((1, 1)) + 1)  # creates the CUDA context


def import_keras(backend: str) -> None:
    """Import keras without optional packages that are not used here.

    The half million objects that it creates stay alive. They are excluded from garbage
    collection, during the import and afterwards.
    """
    if "keras" in sys.modules:
        return
    hidden = [
        package
        for package in _UNUSED_BY_KERAS
        if package not in sys.modules and package != BACKENDS.get(backend)
    ]
    # A None entry makes a package appear as not installed.
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    collecting = gc.isenabled()
    gc.disable()
    try:
        if backend == "torch":
            importlib.import_module("torch")
        with without_dynamo():
            importlib.import_module("keras")
    except (ImportError, MemoryError) as error:
        words = (str(error).splitlines() or ["no memory is left"])[0]
        raise KerasDAEError(f"keras cannot be imported: {words}.") from error
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise KerasDAEError(
            f"keras could not be imported: {error} Its settings are in keras.json, in "
            "~/.keras or the folder KERAS_HOME."
        ) from error
    finally:
        for package in hidden:
            del sys.modules[package]
        gc.freeze()
        if collecting:
            gc.enable()


def keep_freed_memory(backend: str) -> None:
    """Let glibc keep the memory that a step of torch frees, for the next step.

    By default each step returns its largest blocks to the system and allocates new
    pages, which takes more than a tenth of the step.
    """
    if backend != "torch" or not sys.platform.startswith("linux"):
        return
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        for parameter in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            mallopt(parameter, 2**31 - 1)


def _has_mps(backend: str) -> bool:
    if backend != "torch":
        return False
    import torch

    return torch.backends.mps.is_available()


def _hide_accelerators(backend: str) -> None:
    if backend == "torch":
        os.environ["KERAS_TORCH_DEVICE"] = "cpu"
    elif backend == "jax":
        os.environ["JAX_PLATFORMS"] = "cpu"
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"


def has_cuda() -> bool:
    """Return whether the chosen backend finds a CUDA device."""
    backend = name()
    if backend == "torch":
        import torch

        return torch.cuda.is_available()
    if backend == "jax":
        import jax

        return any(device.platform == "gpu" for device in jax.devices())
    import tensorflow

    return bool(tensorflow.config.list_physical_devices("GPU"))


def has_bfloat16() -> bool:
    """Return whether this processor supports bfloat16, as far as torch knows."""
    import torch

    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    if known.get("architecture") != "x86_64":
        return True  # other architectures are not checked
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def device() -> str:
    """Return the device that the backend computes on, for messages."""
    backend = name()
    if backend == "torch":
        import torch

        chosen = torch_device()
        if chosen.startswith("cuda"):
            return f"{chosen} ({torch.cuda.get_device_name()})"
        return chosen
    return "cuda" if has_cuda() else "cpu"


def threads() -> int:
    """Return the CPU threads per operation of the backend."""
    if name() == "torch":
        import torch

        return int(torch.get_num_threads())
    # OMP_NUM_THREADS can also be a list, with a number per level of nested loops.
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(asked) if asked.isdecimal() and int(asked) else available_cores()


def thread_words() -> str:
    """Return the number of threads in words: '1 thread' or '2 threads'."""
    count = threads()
    return f"{count} thread{'s' if count != 1 else ''}"


def use_threads(count: int) -> None:
    """Set the CPU threads per operation of torch."""
    if name() == "torch" and threads() != count:
        import torch

        torch.set_num_threads(count)


def useful_threads(step: int) -> int | None:
    """Return the number of threads for which a training step is fastest.

    Args:
        step: multiply-adds of its forward pass: those per image times the images.

    Returns:
        1 if distributing the work would take torch longer than it saves; other cores
        can then draw noise. None leaves the choice to the backend.
    """
    return 1 if name() == "torch" and step < _SHARED_STEP else None


def available_cores() -> int:
    """Return the number of CPU cores available to this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def summary() -> str:
    """Return backend, device and threads in one line, the first line of output."""
    chosen = name()
    return (
        f"{chosen} {package_version(BACKENDS[chosen])} on {device()}, {thread_words()}"
    )


def versions() -> str:
    """Return backend and keras with their versions, in one line."""
    package = BACKENDS[name()]
    return f"{package} {package_version(package)}, keras {package_version('keras')}"


def package_version(package: str) -> str:
    """Return the installed version of `package`, or 'not installed'."""
    for candidate in (package, f"{package}-cpu"):
        try:
            return version(candidate)
        except PackageNotFoundError:
            continue
    return "not installed"


def hardware() -> str:
    """Return the processor, its cores and the device in one line."""
    text = f"{processor()}, {available_cores()} cores"
    return text if device() == "cpu" else f"{text}, {device()}"


def processor() -> str:
    """Return the name of the processor from the operating system."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def environment() -> dict[str, Any]:
    """Return what a result depends on besides its configuration.

    These are versions, backend, device, threads, commit (None outside a checkout, with
    '-dirty' appended if files were changed) and the command line.
    """
    packages = ("keras-dae", "keras", *BACKENDS.values(), "numpy", "matplotlib")
    return {
        "versions": {
            "python": platform.python_version(),
            **{package: package_version(package) for package in packages},
        },
        "backend": name(),
        "device": device(),
        "threads": threads(),
        "hardware": hardware(),
        "platform": platform.platform(),
        "commit": commit(),
        "command": sys.argv[1:],
    }


def commit() -> str | None:
    """Return the commit of this package's own checkout, or None outside of one.

    A repository that merely contains an installed package, or does not track it, does
    not count. Code sent from a checkout elsewhere has its commit in the environment
    variable `KERAS_DAE_COMMIT`.
    """
    if sent := os.environ.get("KERAS_DAE_COMMIT"):
        return sent
    tracked = _git("ls-files", "--full-name", "__init__.py")
    if tracked != f"{_PACKAGE.name}/__init__.py":
        return None
    return _git("describe", "--always", "--dirty", "--abbrev=12", "--exclude=*") or None


def _git(*words: str) -> str:
    """Return the output of git in the package's folder; empty if it fails."""
    try:
        done = subprocess.run(
            ["git", *words],
            cwd=_PACKAGE,
            # In a git hook these variables refer to another repository.
            env={k: v for k, v in os.environ.items() if not k.startswith("GIT_")},
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()

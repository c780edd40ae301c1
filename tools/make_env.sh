#!/usr/bin/env bash
# Build the virtual environment that `make demo` and `make test` run in. Run it through `make env`.
#
# mmcv ships no ready-made wheel for this torch, so its ops are compiled here once (5 to 10 minutes on 2 cores). The wheel
# is kept in the user's cache under a key that names torch, Python and the machine, because compiled ops only load with
# the torch that they were built against.
set -euo pipefail

python=${PYTHON:-python3.11}
venv=${VENV:-.venv}
# Pinned: the newest torch that mmcv 2.1.0 was seen to compile against and run with. Any other spec works where mmcv does.
torch=${TORCH:-torch==2.13.0}
mmcv=2.1.0
cache=${XDG_CACHE_HOME:-$HOME/.cache}/mmisn/wheels

command -v "$python" >/dev/null || {
    echo "make env: '$python' was not found. Install Python 3.11, or name another one: make env PYTHON=python3.12" >&2
    exit 1
}
command -v c++ >/dev/null || {
    echo "make env: no C++ compiler was found, which building mmcv's ops needs. Debian/Ubuntu: apt-get install g++" >&2
    exit 1
}

include=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
[ -f "$include/Python.h" ] || {
    echo "make env: $include/Python.h was not found, which building mmcv's ops needs. Debian/Ubuntu: apt-get install python3.11-dev" >&2
    exit 1
}
"$python" -c 'import ctypes; ctypes.CDLL("libGL.so.1"); ctypes.CDLL("libglib-2.0.so.0")' 2>/dev/null || {
    [ "$(uname)" != Linux ] || {
        echo "make env: libGL.so.1 or libglib-2.0.so.0 is missing, which OpenCV needs. Debian/Ubuntu: apt-get install libgl1 libglib2.0-0" >&2
        exit 1
    }
}

# A venv without pip is what is left where ensurepip was missing.
"$venv/bin/python" -m pip --version >/dev/null 2>&1 || {
    rm -rf "$venv"
    "$python" -m venv "$venv" || {
        echo "make env: '$python -m venv' failed. Debian/Ubuntu: apt-get install python3.11-venv" >&2
        exit 1
    }
}
py=$venv/bin/python
pip() { "$py" -m pip --disable-pip-version-check -q "$@"; }

echo "== torch"
pip install --upgrade pip
# mmcv's setup.py and mim import pkg_resources: setuptools 80.9 warns at each import of it, 81 no longer ships it.
pip install 'setuptools>=77.0.3,<80.9' wheel ninja numpy "$torch"

# Ops for the GPU are compiled where there is one and a CUDA compiler; elsewhere a GPU is hidden from mmcv's setup.
ops=cpu
if command -v nvcc >/dev/null && "$py" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    ops=cuda
else
    export CUDA_VISIBLE_DEVICES=
fi
key=$("$py" - <<PY
import platform, sys, torch
python = f'cp{sys.version_info[0]}{sys.version_info[1]}'
print(f'mmcv$mmcv-torch{torch.__version__}-$ops-{python}-{platform.machine()}')
PY
)
if ! ls "$cache/$key"/mmcv-*.whl >/dev/null 2>&1; then
    echo "== mmcv $mmcv: compiling its $ops ops against this torch (once; 5 to 10 minutes on 2 cores)"
    mkdir -p "$cache"
    partial=$(mktemp -d "$cache/.partial-XXXXXX")
    trap 'rm -rf "$partial"' EXIT
    MMCV_WITH_OPS=1 MAX_JOBS=${MAX_JOBS:-$(getconf _NPROCESSORS_ONLN)} \
        "$py" -m pip --disable-pip-version-check -q wheel --no-deps --no-build-isolation --no-cache-dir \
        -w "$partial" "mmcv==$mmcv"
    # Renamed when whole: an interrupted build leaves no wheel that a later run would trust.
    rm -rf "${cache:?}/$key"
    mv "$partial" "$cache/$key"
fi
echo "== mmcv $mmcv: $cache/$key"
pip install "$cache/$key"/mmcv-*.whl
# The same version built against another torch may be installed already; pip would call that satisfied.
if [ "$(cat "$venv/.mmcv-key" 2>/dev/null)" != "$key" ]; then
    pip install --force-reinstall --no-deps "$cache/$key"/mmcv-*.whl
    echo "$key" >"$venv/.mmcv-key"
fi

echo "== mmdet, mim, mmisn"
pip install -r requirements.txt
pip install --no-deps openmim==0.3.9
pip install --no-deps --no-build-isolation -e .

"$py" - <<'PY'
import torch, mmcv, mmdet, mmengine, mmisn
from mmcv.ops import nms
kept = nms(torch.tensor([[0., 0, 9, 9], [0, 0, 9, 8]]), torch.tensor([.9, .8]), 0.5)[1].tolist()
assert kept == [0], kept
print(f'== ready: torch {torch.__version__}, mmcv {mmcv.__version__} with ops, mmengine {mmengine.__version__}, '
      f'mmdet {mmdet.__version__}, mmisn {mmisn.__version__}')
PY

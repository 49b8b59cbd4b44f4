#!/usr/bin/env bash
# One run on a machine with an NVIDIA GPU, Python 3.12, torch and torchvision, and no internet: the tests of tests/cuda,
# then the benchmarks in order of worth, each within a limit of time, all within eight minutes.
#
#   tools/check_cuda.sh --prepare FOLDER      with internet: collect the small wheels that are missing there (30 MB)
#   tools/check_cuda.sh FOLDER                on the GPU: FOLDER gets summary.txt, records/, logs/ and five pictures
#   tools/check_cuda.sh FOLDER --device cpu   a rehearsal without a GPU: small cases, and no tests of tests/cuda
#
# PYTHON names the interpreter (python3). OpenCV, SciPy and scikit-learn are not needed: what needs them is skipped by
# name. Exit code: 0 if all that was begun was right and ended in time, 1 if not.
set -uo pipefail
cd "$(dirname "$0")/.."
root=$PWD
began=$SECONDS
limit=480
python=${PYTHON:-python3}

usage() {
    sed -n '2,11s/^# \{0,1\}//p' "$root/tools/check_cuda.sh" >&2
    exit 2
}

prepare=
device=cuda
folder=
while [ $# -gt 0 ]; do
    case "$1" in
        --prepare) prepare=1 ;;
        --device) device=${2:-}; shift ;;
        -*) usage ;;
        *) [ -z "$folder" ] || usage; folder=$1 ;;
    esac
    shift
done
[ -n "$folder" ] && [ -n "$device" ] || usage
mkdir -p "$folder/wheels" "$folder/logs" "$folder/records" && folder=$(cd "$folder" && pwd) || exit 1

# Names as pip has them; what torch and torchvision bring (NumPy, Pillow, Jinja2, MarkupSafe …) is there.
wheels="annotated-doc annotated-types captum contourpy cycler fonttools iniconfig isal jinja2 kiwisolver
    lazy-loader markdown-it-py markupsafe matplotlib mdurl packaging pluggy pydantic pydantic-core pygments
    pyparsing pytest pytest-timeout python-dateutil rich safetensors shellingham tqdm typer
    typing-extensions typing-inspection tzdata"

if [ -n "$prepare" ]; then
    # shellcheck disable=SC2086
    "$python" -m pip download --quiet --no-deps --only-binary :all: --python-version 3.12 --implementation cp \
        --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
        -d "$folder/wheels" $wheels || exit 1
    size=$(du -sm "$folder/wheels" | cut -f 1)
    echo "$folder/wheels: $(ls "$folder/wheels" | wc -l) wheels, $size MiB"
    [ "$size" -lt 60 ]
    exit
fi

# --- an environment beside the one with torch in it, which stays as it is
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$python" -m venv --system-site-packages "$scratch/venv" || exit 1
site=$("$python" -c 'import torch, pathlib; print(pathlib.Path(torch.__file__).parents[1])') || exit 1
python=$scratch/venv/bin/python
own=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo "$site" >"$own/torch-is-there.pth" # where torch lies in a virtual environment itself
missing=$("$python" - $wheels <<'PYTHON'
import sys
from importlib.metadata import PackageNotFoundError, version
for name in sys.argv[1:]:
    try:
        version(name)
    except PackageNotFoundError:
        print(name)
PYTHON
)
if [ -n "$missing" ]; then
    # shellcheck disable=SC2086
    "$python" -m pip install --quiet --no-index --no-deps -f "$folder/wheels" $missing || exit 1
fi
printf '#!%s\nimport sys\nfrom cnnviz.cli import main\nsys.exit(main())\n' "$python" >"$scratch/venv/bin/cnnviz"
chmod +x "$scratch/venv/bin/cnnviz"
export PATH="$scratch/venv/bin:$PATH" PYTHONPATH="$root" TORCH_HOME="$scratch/torch" CNNVIZ_STORE="$scratch/store"
export CNNVIZ_OFFLINE=1 CNNVIZ_DEVICE="$device" MPLCONFIGDIR="$scratch" PYTHONDONTWRITEBYTECODE=1

# --- what is run, and what came of it
failed=0
summary=$folder/summary.txt
: >"$summary"
say() { echo "$*" | tee -a "$summary"; }

part() { # part NAME SECONDS COMMAND...: its log, and a line in the summary; no longer than there is time left
    local name=$1 most=$2 left=$((limit - (SECONDS - began))) start=$SECONDS code=0 word=ok
    shift 2
    if [ "$left" -lt 10 ]; then
        say "$name: left out, no time left"
        failed=1
        return
    fi
    [ "$left" -lt "$most" ] && most=$left
    timeout -k 5 "$most" "$@" >"$folder/logs/$name.log" 2>&1 </dev/null || code=$?
    [ "$code" = 124 ] || [ "$code" = 137 ] && word="stopped after $most s"
    [ "$word" = ok ] && [ "$code" != 0 ] && word="FAILED ($code), see logs/$name.log"
    [ "$code" = 0 ] || failed=1
    say "$name: $word, $((SECONDS - start)) s"
}

measure() { # measure NAME SECONDS MODULE ARGUMENTS...: a benchmark, whose record is kept
    local name=$1 most=$2 module=$3
    shift 3
    part "$name" "$most" python -m "benchmarks.$module" --device "$device" --no-memory "${fewer[@]}" \
        --json "$folder/records/$name.json" "$@"
}

fewer=(--rounds 3)
large=512,1024
pictures=500
if [ "$device" = cpu ]; then
    fewer=(--quick --rounds 1)
    large=64
    pictures=24
fi

say "$(git describe --always --dirty 2>/dev/null || echo 'no version'), $(date -u +%Y-%m-%d)"
part machine 40 python -m cnnviz doctor
command -v nvidia-smi >/dev/null && nvidia-smi >>"$folder/logs/machine.log" 2>&1

if [ "$device" != cpu ]; then
    part tests 150 python -m pytest -o addopts= --import-mode=importlib -ra -q -p no:cacheprovider tests/cuda
    tail -n 1 "$folder/logs/tests.log" | tee -a "$summary"
    grep -E '^(SKIPPED|FAILED|ERROR)' "$folder/logs/tests.log" | tee -a "$summary"
fi

if [ "$device" = cpu ]; then
    measure occlusion-squeezenet 120 occlusion --networks squeezenet1_1 --batches 4
else
    measure occlusion-vgg16 60 occlusion --networks vgg16
    measure occlusion-resnet50 60 occlusion --networks resnet50
fi
measure style-vgg19 80 style speed --size "$large"
measure visualize 40 synthesis --size 128
measure saliency-batch 90 batch --case "saliency, --view panel" --pictures "$pictures"
measure fast-style 40 fast_style_speed

# --- five pictures to look at
cp sample_images/chelsea.png sample_images/rocket.jpg sample_images/starry.jpg "$scratch"
side=512
[ "$device" = cpu ] && side=96
shot() { part "picture-$1" 30 cnnviz "${@:2}" -m squeezenet1_1 --force -o "$folder/$1.png"; }
shot saliency saliency "$scratch/chelsea.png"
shot occlusion occlusion "$scratch/chelsea.png" --view overlay
shot dream dream "$scratch/rocket.jpg" --size "$side"
shot style style "$scratch/chelsea.png" "$scratch/starry.jpg" --size "$side" --steps 60
shot flamingo visualize --target flamingo --steps 100

say "$((SECONDS - began)) s in all"
exit "$failed"

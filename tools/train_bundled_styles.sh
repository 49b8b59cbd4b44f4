#!/bin/sh
# Train the fast style network that comes with cnnviz: the styles starry, mosaic and ink, learned on the photos that
# the installed scikit-image, scikit-learn and matplotlib carry. chelsea.png and coffee.png are held out to judge by.
#
#   sh tools/train_bundled_styles.sh FOLDER [OPTION...]     as in: sh tools/train_bundled_styles.sh /tmp/styles --steps 300
#
# FOLDER receives styles.safetensors, thumbnails and preview sheets. A run that was stopped is gone on with by the same
# command. Needs 'pip install cnnviz scikit-image'.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:?name a folder for the result}
shift
mkdir -p "$folder/photos"

python - "$folder/photos" <<'PYTHON'
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

CARRIED = {
    "skimage": [f"data/{name}" for name in (
        "astronaut.png", "brick.png", "camera.png", "coins.png", "grass.png", "gravel.png",
        "hubble_deep_field.jpg", "retina.jpg", "rocket.jpg",
    )],
    "sklearn": ["datasets/images/china.jpg", "datasets/images/flower.jpg"],
    "matplotlib": ["mpl-data/sample_data/grace_hopper.jpg"],
}
for package, names in CARRIED.items():
    home = Path(find_spec(package).origin).parent
    for name in names:
        shutil.copy(home / name, sys.argv[1])
PYTHON

train() {
    cnnviz fast-style train \
        "$here/sample_images/starry.jpg" "$here/sample_images/mosaic.jpg" "$here/sample_images/ink.jpg" \
        --content "$folder/photos" --resume --force -m squeezenet1_1 --batch 3 --crop 160 --content-weight 2 "$@"
}

# First in the styles as they are, then without their frames, which nobody wants around a photo.
train -o "$folder/first.safetensors" --fade 0 --steps 9600 --learning-rate 0.003 --save-every 250 "$@"
train -o "$folder/styles.safetensors" --start "$folder/first.safetensors" --steps 2400 --learning-rate 0.001 \
    --save-every 200 "$@"

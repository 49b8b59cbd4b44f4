#!/bin/sh
# Train the fast style network that comes with cnnviz: the styles starry, mosaic and ink, learned on some 190 freely
# licensed photos (tools/collect_style_photos.py). What they are judged by, benchmarks/fast_style_quality.py, is not
# among them.
#
#   sh tools/train_bundled_styles.sh FOLDER [OPTION...]     as in: sh tools/train_bundled_styles.sh /tmp/styles --steps 300
#
# FOLDER receives styles.safetensors, thumbnails and preview sheets. A run that was stopped is gone on with by the same
# command. (The shipped model's was shortened to 2,700 steps at step 2,217, and its learning rate began to fall there,
# from 0.6 of the full one: 1,890 steps into this one it begins from the full one.) Needs Debian or Ubuntu and 'pip install cnnviz scikit-image matplotlib'.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:?name a folder for the result}
shift
[ -d "$folder/photos" ] || python "$here/tools/collect_style_photos.py" "$folder/photos"

cnnviz fast-style train "$here/sample_images/starry.jpg" "$here/sample_images/mosaic.jpg" "$here/sample_images/ink.jpg" \
    --content "$folder/photos" -o "$folder/styles.safetensors" --resume --force -m squeezenet1_1 --held-out 0 \
    --batch 3 --crop 128 --content-weight 1.5 --tv-weight 1 --learning-rate 0.004 --steps 2700 --save-every 200 "$@"

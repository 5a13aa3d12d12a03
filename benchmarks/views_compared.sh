#!/usr/bin/env bash
# O against H + R1 + R2: the same backbone, input pixels, epochs and augmentation, two seeds each.
#
#   benchmarks/views_compared.sh DATA MODEL WEIGHTS OUT [SHORT_SIDE] [SIZE_O] [SIZE_VIEWS] [EPOCHS]
#
# DATA        a data set; MODEL: a model folder whose localizers find the regions; WEIGHTS: the backbone's start
# OUT         gets one training and one evaluation an arm, and comparison.txt
# SHORT_SIDE  of the cached images: 300, or none for the radiographs' own resolution
# SIZE_O, SIZE_VIEWS  sides of the one view and of each of the three: 192 x 192 is as many pixels (and as much work)
#             as three times 111 x 111
set -euo pipefail
data=$1 model=$2 weights=$3 out=$4 side=${5:-300} size_o=${6:-192} size_views=${7:-111} epochs=${8:-3}
mkdir -p "$out"
for seed in 0 1; do
    for views in O H,R1,R2; do
        size=$size_views
        [ "$views" != O ] || size=$size_o
        arm=$out/${views//,/}-$seed
        if [ ! -f "$arm/model/model.json" ]; then
            # Regions depend on the localizers alone: they are found once.
            if [ ! -d "$arm/regions" ] && [ -d "$out/regions" ]; then mkdir -p "$arm" && cp -r "$out/regions" "$arm/"; fi
            boneage train compact --data "$data" --out "$arm" --cache "$out/images" --resume \
                --set pretrained="$weights" --set localizers="$model" --set image_short_side="$side" \
                --set regressor.views="$views" --set regressor.size="$size" --set regressor_seed="$seed" \
                --set regressor.schedule.epochs="$epochs" --set "regressor.schedule.size_schedule=((0,$size),)" \
                --set regressor.schedule.validate_every="$epochs" --set regional_heads=false
            [ -d "$out/regions" ] || cp -r "$arm/regions" "$out/"
        fi
        [ -f "$arm/evaluation/metrics.json" ] ||
            boneage evaluate --model "$arm/model" --data "$data" --out "$arm/evaluation" --force || [ $? -eq 1 ]
    done
done
python "$(dirname "$0")/pooled_comparison.py" "$out" | tee "$out/comparison.txt"

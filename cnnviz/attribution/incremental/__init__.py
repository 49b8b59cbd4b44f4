"""Exact incremental inference for occlusion: recompute only what a patch can reach.

Hiding a patch of the image changes, in each feature map, only the window whose receptive field meets the patch. All
other values are those of the clean image and are read from a cache. (Nakandala, Kumar & Papakonstantinou, "Incremental
and Approximate Inference for Faster Occlusion-based Deep CNN Explanations", SIGMOD 2019. Their approximations are not
used here: the scores equal those of a full pass.)
"""

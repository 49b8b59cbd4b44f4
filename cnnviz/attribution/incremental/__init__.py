"""Exact incremental inference for occlusion: recompute only what a patch can reach.

Hiding a patch of the picture changes, in each feature map, only the window that sees the patch through the
convolutions and poolings before it. Everything else is as in the un-occluded picture and is read from a
cache. (Nakandala, Kumar & Papakonstantinou, "Incremental and Approximate Inference for Faster Occlusion-based
Deep CNN Explanations", SIGMOD 2019; their approximations are not used here: the scores are those of the full
pass.)
"""

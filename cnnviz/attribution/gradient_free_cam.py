"""Class activation maps that need no gradient: Score-CAM, Ablation-CAM and Eigen-CAM."""

from __future__ import annotations

from torch import Tensor

from cnnviz.attribution.cam_layers import Layers, Smooth, class_activation_map
from cnnviz.attribution.cam_rules import EIGEN_CAM
from cnnviz.attribution.cam_scores import ABLATION_CAM, SCORE_CAM
from cnnviz.attribution.targets import Target
from cnnviz.network.network import Network


def score_cam(
    network: Network, pixels: Tensor, target: Target = None, *, layer: Layers = None, smooth: Smooth = "none"
) -> Tensor:
    """Score-CAM map: feature maps weighted by the softmax of the scores of the image seen through each of them.

    Wang, Wang, Du, Yang, Zhang, Ding, Mardziel & Hu, "Score-CAM: Score-Weighted Visual Explanations for Convolutional
    Neural Networks", CVPR workshop 2020, arXiv:1910.01279. Each feature map is upsampled, scaled to [0, 1], and fades
    the image into the mean color the network was trained with; the score is the logit, whose difference from that of an
    empty image the softmax makes no difference of. A pass through the network for each channel that is not flat.
    Arguments and errors are those of ``grad_cam``.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.score_cam(network, pixels, "tabby", layer="fire3").shape
        torch.Size([1, 1, 64, 96])
    """
    return class_activation_map(network, pixels, target, SCORE_CAM, layer, smooth)


def ablation_cam(
    network: Network, pixels: Tensor, target: Target = None, *, layer: Layers = None, smooth: Smooth = "none"
) -> Tensor:
    """Ablation-CAM map: feature maps weighted by how much the score drops where each is set to zero.

    Desai & Ramaswamy, "Ablation-CAM: Visual Explanations for Deep Convolutional Network via Gradient-free
    Localization", WACV 2020. The paper divides the drops by the score, which only scales the map, or, of a negative
    score, turns it over; here they are left as they are. The network is run from the layer on. Arguments and errors are
    those of ``grad_cam``.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.ablation_cam(network, pixels, "tabby").shape
        torch.Size([1, 1, 64, 96])
    """
    return class_activation_map(network, pixels, target, ABLATION_CAM, layer, smooth)


def eigen_cam(
    network: Network, pixels: Tensor, target: Target = None, *, layer: Layers = None, smooth: Smooth = "none"
) -> Tensor:
    """Eigen-CAM map: the first principal component of a layer's feature maps, whatever the class.

    Muhammad & Yeasin, "Eigen-CAM: Class Activation Map using Principal Components", IJCNN 2020, arXiv:2008.00299. As in
    pytorch-grad-cam, and unlike the paper, the maps are centered first. The sign is the one that grows with the sum of
    the maps. Arguments and errors are those of ``grad_cam``; ``target`` has no effect.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.eigen_cam(network, pixels).shape
        torch.Size([1, 1, 64, 96])
    """
    return class_activation_map(network, pixels, target, EIGEN_CAM, layer, smooth)

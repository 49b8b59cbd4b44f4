"""The public names of cnnviz, for type checkers and editors; ``lazy_loader`` reads where each is defined from here."""

__version__: str

from .adversarial.deepfool import deepfool as deepfool
from .adversarial.fgsm import fgsm as fgsm
from .adversarial.fgsm import iterative_fgsm as iterative_fgsm
from .adversarial.target_ascent import fooling_image as fooling_image
from .adversarial.universal import fooling_rate as fooling_rate
from .adversarial.universal import universal_perturbation as universal_perturbation
from .attribution.cam import grad_cam as grad_cam
from .attribution.cam import guided_grad_cam as guided_grad_cam
from .attribution.faithfulness import deletion_curve as deletion_curve
from .attribution.faithfulness import insertion_curve as insertion_curve
from .attribution.faithfulness import randomization_check as randomization_check
from .attribution.gradients import input_x_gradient as input_x_gradient
from .attribution.gradients import saliency as saliency
from .attribution.guided_backprop import deconvnet as deconvnet
from .attribution.guided_backprop import guided_backprop as guided_backprop
from .attribution.integrated_gradients import integrated_gradients as integrated_gradients
from .attribution.occlusion import occlusion as occlusion
from .attribution.segmentation import object_map as object_map
from .attribution.segmentation import segment_foreground as segment_foreground
from .attribution.smoothgrad import smoothgrad as smoothgrad
from .features.activations import activation_grid as activation_grid
from .features.embeddings import embed_images as embed_images
from .features.filters import filter_grid as filter_grid
from .features.neighbors import nearest_neighbors as nearest_neighbors
from .features.projection import project as project
from .features.top_activations import top_patches as top_patches
from .imaging.image_io import read_image as read_image
from .imaging.image_io import write_image as write_image
from .network.loading import load_network as load_network
from .network.network import Network as Network
from .pipeline.run import run_images as run_images
from .style.fast import FastStyleNetwork as FastStyleNetwork
from .style.inference import apply_fast_style as apply_fast_style
from .style.model_file import load_fast_style as load_fast_style
from .style.training import train_fast_style as train_fast_style
from .style.transfer import transfer_style as transfer_style
from .synthesis.deepdream import dream as dream
from .synthesis.inversion import invert as invert
from .synthesis.texture import synthesize_texture as synthesize_texture
from .synthesis.visualization import visualize as visualize

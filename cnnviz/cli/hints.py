"""Which option or command helps with an error or remark of the library, whose own messages name neither."""

from __future__ import annotations

from collections.abc import Callable

from cnnviz.errors import CnnvizError, Remark


def fetch_command(model: str, weights: str) -> str:
    """The command that downloads the published weights ``weights`` of ``model``."""
    from cnnviz.network import catalogue

    is_default = catalogue.entry(model).default.name == weights and not catalogue.is_embedded(model)
    return f"cnnviz models fetch {model}" + ("" if is_default else f" --weights {weights}")


def commands_for_scores() -> str:
    """The commands that work on a network that gives scores, and has no gradients."""
    from cnnviz.attribution.registry import METHODS

    able = [method for method in METHODS.values() if not (method.needs_gradients or method.needs_layers)]
    commands = dict.fromkeys(["classify", *(method.command for method in able)])
    compare = f"compare --methods {','.join(method.name for method in able)}"
    return f"These commands work on it: {', '.join([*commands, compare])}."


HINTS: dict[str, str | Callable[..., str]] = {
    "without_gradients": commands_for_scores,
    "scores_only": commands_for_scores,
    "inner_softmax": "If they are not: --activation softmax, or sigmoid.",
    "all_classes": "Ask the program for all classes, as -k 1000 does of cnnviz classify.",
    "longer_calls": "--exec-timeout sets the limit.",
    "only_program": "Leave out --exec, or --model and --weights.",
    "program_here": "Leave out --engine ray.",
    "transformer": "These commands work on it: classify, saliency, gradcam, occlusion, compare, fool, activations.",
    "methods_without_rules": "Try saliency --method integrated, or expected-gradients.",
    "methods_without_relu": "Try gradcam, or saliency --method smoothgrad.",
    "list_styles": "'cnnviz fast-style list' has all; an image as style is named as ./FILE.",
    "name_style": "Name one with --style FILE.",
    "any_style": "Leave out --style-model.",
    "each_style": "--each paints an image in each.",
    "style_template": "Name a FOLDER/, or a template with {{style}}.",
    "train_style_model": "'cnnviz fast-style train' makes one.",
    "device_auto": "'--device auto' takes what there is.",
    "embedded_model": "'-m squeezenet1_1' avoids it.",
    "fetch_default": "Get it: cnnviz models fetch {model}",
    "fetch_elsewhere": lambda model, weights: (
        f"'{fetch_command(model, weights)}' gets them where there is internet access."
    ),
    "fetch_again": lambda model, weights: f"'{fetch_command(model, weights)} --force' replaces it.",
    "normalization": lambda channels: "For example: --mean {0} --std {0}.".format(",".join(["0.5"] * channels)),
    "choose_output": "For example: --logits NAME, or --logits 0 for the first.",
    "list_layers": "'cnnviz layers' lists all.",
    "list_maps": "'cnnviz layers' lists all of shape C×H×W.",
    "more_layers": "For example: --layer layer2 --layer layer4; 'cnnviz layers' lists all.",
    "several_maps": "Write a .npz, which holds any number.",
    "list_models": "'cnnviz models' lists them all.",
    "list_timm": "\"python -c 'import timm; print(*timm.list_models())'\" lists them all.",
    "assumed_input": lambda names: f"Give what is not so: {' '.join('--' + name.replace('_', '-') for name in names)}.",
    "input_channels": "Give --input-channels {channels}.",
    "random_channels": "'--weights random', or a file of such weights, takes others.",
    "exported_size": "Leave out --size, or export it with a dynamic height and width.",
    "own_size": "Give the size that it takes with --size.",
    "trust": "--trust opens it, if you know where it is from.",
    "fetch_hub": "Copy them here, as the hub's cache or as local-dir:FOLDER has them, or use -m squeezenet1_1.",
    "model_of_weights": "For example: --model resnet18 --weights my.pth.",
    "weights_alone": "For example: --weights my.pth, with or without --model.",
    "named_model": "Name it with --model {model}, or leave out --model.",
    "weights_key": "--weights-key {key} takes that.",
    "head_activation": "--head-activation NAME takes another than ReLU, or none.",
    "black_box_model": "Give it with -m.",
    "exported_model": "Give it with -m, and --trust if you know where it is from.",
    "feature_commands": "It serves for activations, embed, neighbors, patches, dream, invert, texture and style.",
    "style_weights": "--style takes a name or weights, as in starry:0.7,ink:0.3.",
    "name_style_model": "Train one with 'cnnviz fast-style train', and name it with --style-model FILE.",
    "name_model": "Name it with --model.",
    "visualize_what": "For example: --target flamingo, or --layer fire5 --channel 17.",
    "facets_of_photos": "For example: --target flamingo --facets 4 --from photos/.",
    "own_weights": "Give --weights FILE or --weights random.",
    "smaller_patch": "Try --patch 1 to {largest}.",
    "cutout_target": "Name it with --target.",
    "neuron_layer": "Name it with --layer.",
    "neuron_channel": "For example: --layer fire5 --channel 17.",
    "existing_output": "--force overwrites, --skip-existing leaves it out.",
    "finish_sheet": "The same command with --skip-existing makes it whole, from the start.",
    "local_engine": "Leave out --engine ray.",
    "name_images": "Name files or folders, '-' for standard input, or --files-from LIST.",
    "output_file": "Use -o FILE or FOLDER/.",
    "output_folder": "Use -o FOLDER/.",
    "output_template": "Give a template, as -o '{{name}}.{{command}}.png' or -o '{{parent}}/{{stem}}.{{command}}.png'.",
    "output_video": "Use -o FILE.mp4 or FOLDER/.",
    "recursive": "-r looks into its folders too.",
    "remote_resume": "Leave out --resume, or --engine ray.",
    "remote_snapshots": "Leave out --save-every, or --engine ray.",
    "resume": "The same command with --resume does.",
    "shorter_output": "Give a shorter one with -o.",
    "disk_full": "Make room, and go on with --skip-existing.",
    "class_names": "--labels FILE names the classes, and --classes FILE.csv says which image is of which.",
    "overwrite": "--force replaces it.",
    "max_pixels": "Raise --max-pixels if you trust it.",
    "mp4_commands": "'cnnviz fast-style apply' and 'cnnviz info' take videos.",
    "video_command": "'cnnviz fast-style apply' takes videos.",
    "read_stdin": "Give '-' to read from standard input.",
    "write_stdout": "'-' writes to standard output.",
    "shard": "For example: --shard 1/4.",
    "smaller_size": "Try --size {size}.",
    "attack_target": "Name it with --target.",
    "exact_index": "Or take --index exact.",
    "iterative_attack": "Try --method iterative.",
    "epsilon": "--epsilon takes a size such as 8/255, 0.03 or 8.",
    "stronger_attack": lambda is_lossless: (
        f"Try a larger --epsilon or more --steps{'' if is_lossless else ', or write a .png'}."
    ),
    "first_epsilon": "Raise --epsilon, to 10/255 for one.",
    "larger_epsilon": "Raise --epsilon, then --passes ({passes} now).",
    "more_passes": "Raise --passes ({passes} now), or give more images or --crops.",
    "layer": "Name a layer with --layer.",
    "learn_perturbation": "'cnnviz universal FOLDER -o {stem}.png' makes it.",
    "perturbation_file": "'cnnviz universal FOLDER' writes one.",
    "painting_size": "--size N sets it.",
    "larger_painting": "--size {size} sets it.",
    "use_csv": "Or leave out --parquet for CSV.",
    "use_pca": "Or take --method pca.",
    "use_tsne": "Or take --method tsne.",
    "transform_input": "If not: --no-transform-input, or its own --mean and --std.",
}
"""The sentence that follows a message, by its ``remedy``: a text that its ``values`` fill in, or a function of them."""


def message_with_hint(message: Exception | str) -> str:
    """The message of an error or remark, followed by the option or command that helps, where it has a remedy."""
    if not isinstance(message, CnnvizError | Remark) or not message.remedy:
        return str(message)
    hint = HINTS[message.remedy]
    return f"{message} {hint.format(**message.values) if isinstance(hint, str) else hint(**message.values)}"

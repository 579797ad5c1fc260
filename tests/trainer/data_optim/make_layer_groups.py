#!/usr/bin/env python3
"""Writes layer_groups.json: the groups that timm's param_groups_layer_decay makes of one small model of each family.

    pip install torch==2.11.0 timm==1.0.24
    python make_layer_groups.py

Each group: layer, lr_scale, weight_decay and the names of its parameters. The names that go without weight decay are the
model's own no_weight_decay(), but for Swin-v2: timm's set holds names of modules there, which no parameter has, so the
keywords of Microsoft's models/swin_transformer_v2.py (no_weight_decay_keywords) are given as patterns.
"""
import json
import os

import timm
from timm.models import group_parameters
from timm.optim._param_groups import param_groups_layer_decay

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = ["vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2", "beit_base_patch16_224", "swinv2_tiny_window8_256",
          "swin_tiny_patch4_window7_224", "resnet50", "efficientnet_b0", "tresnet_m"]
LAYER_DECAY, WEIGHT_DECAY, CLASSES = 0.75, 0.05, 5


def groups_of(name):
    model = timm.create_model(name, num_classes=CLASSES)
    exempt = model.no_weight_decay() if hasattr(model, "no_weight_decay") else ()
    if name.startswith("swinv2"):
        exempt = ["*cpb_mlp*", "*logit_scale*", "*relative_position_bias_table*"]
    names = {id(parameter): key for key, parameter in model.named_parameters()}
    layers = group_parameters(model, model.group_matcher(coarse=False), reverse=True)
    result = []
    for group in param_groups_layer_decay(model, WEIGHT_DECAY, exempt, layer_decay=LAYER_DECAY):
        members = [names[id(parameter)] for parameter in group["params"]]
        result.append({"layer": layers[members[0]], "lr_scale": group["lr_scale"], "weight_decay": group["weight_decay"],
                       "names": members})
    return result


with open(os.path.join(HERE, "layer_groups.json"), "w") as file:
    json.dump({"layer_decay": LAYER_DECAY, "weight_decay": WEIGHT_DECAY, "num_classes": CLASSES,
               "models": {name: groups_of(name) for name in MODELS}}, file, indent=0)
    file.write("\n")

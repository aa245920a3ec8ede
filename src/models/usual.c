// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// What is customary, for files that come without a description: how networks with a head of some kind want
// their pictures, and which public set of labels has so many classes.

#include "models/spec.h"

#include <string.h>

// ImageNet's mean and deviation, in 0..255.
static void set_imagenet(fm_model_input *in)
{
    const float mean[3] = {123.675F, 116.28F, 103.53F}, deviation[3] = {58.395F, 57.12F, 57.375F};
    memcpy(in->mean, mean, sizeof(mean));
    memcpy(in->scale, deviation, sizeof(deviation));
}

fm_model_input fm__spec_usual_input(const char *head_type)
{
    fm_model_input in = {.layout = FM_LAYOUT_NCHW,
        .color = FM_COLOR_RGB,
        .scale = {1, 1, 1},
        .fit = FM_FIT_LETTERBOX,
        .anchor = FM_ANCHOR_CENTER,
        .pad = 114};
    if (!head_type) {
        return in;
    }
    if (strcmp(head_type, "yolox") == 0) { // 0..255, BGR, picture in the corner
        in.color = FM_COLOR_BGR;
        in.anchor = FM_ANCHOR_TOPLEFT;
    } else if (strcmp(head_type, "feature") == 0) {
        in.fit = FM_FIT_STRETCH;
        set_imagenet(&in);
    } else if (strcmp(head_type, "softmax") == 0) { // 224 of 256 pixels of the shorter side
        in.fit = FM_FIT_CROP;
        in.crop_ratio = 0.875F;
        set_imagenet(&in);
    } else if (strcmp(head_type, "semantic") == 0) {
        in.fit = FM_FIT_STRETCH;
        set_imagenet(&in);
    } else { // Ultralytics, torchvision's Mask R-CNN, Real-ESRGAN: 0..1, RGB
        in.scale[0] = in.scale[1] = in.scale[2] = 255;
    }
    return in;
}

const char *fm__labels_usual(fm_task task, int class_count)
{
    static const struct {
        fm_task task;
        int count;
        const char *set;
    } sets[] = {
        {FM_TASK_DETECTION, 80, "coco80"},
        {FM_TASK_SEGMENTATION, 80, "coco80"},
        {FM_TASK_SEGMENTATION, 91, "coco91"},
        {FM_TASK_SEGMENTATION, 21, "voc21"},
        {FM_TASK_CLASSIFICATION, 1000, "imagenet1000"},
        {FM_TASK_CLASSIFICATION, 1001, "imagenet1001"},
    };
    for (size_t i = 0; i < sizeof(sets) / sizeof(*sets); i++) {
        if (sets[i].task == task && sets[i].count == class_count) {
            return sets[i].set;
        }
    }
    return NULL;
}

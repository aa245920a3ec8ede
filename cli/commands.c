// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The table of commands. Help, the man page, completion and parsing come from it; to add a command, add a row
// and the function that it names.

#include "cli.h"

#define GROUP "Other"

static const fm_option run_flags[] = {
    {.flag = "config",
        .type = FM_OPTION_FILE,
        .group = GROUP,
        .metavar = "FILE",
        .help = "read settings and streams from a YAML file; flags win over it"},
    {.flag = "quiet", .type = FM_OPTION_BOOL, .group = GROUP, .help = "no progress, no summary, errors only"},
    {.flag = "json",
        .type = FM_OPTION_BOOL,
        .group = GROUP,
        .help = "write the report to standard output; needs --out"},
    {0},
};

static const fm_option list_flags[] = {
    {.flag = "json", .type = FM_OPTION_BOOL, .group = GROUP, .help = "write JSON"},
    {.flag = "names", .type = FM_OPTION_BOOL, .group = GROUP, .help = "write the names alone, one a line"},
    {0},
};

static const fm_option json_flags[] = {
    {.flag = "json", .type = FM_OPTION_BOOL, .group = GROUP, .help = "write JSON"},
    {0},
};

static const fm_option fetch_flags[] = {
    {.flag = "accept-licence",
        .type = FM_OPTION_BOOL,
        .group = GROUP,
        .help = "agree to the licence of models under the AGPL without being asked"},
    {.flag = "force", .type = FM_OPTION_BOOL, .group = GROUP, .help = "fetch again what is there"},
    {.flag = "backend",
        .type = FM_OPTION_CHOICE,
        .values = "openvino torch",
        .group = GROUP,
        .metavar = "NAME",
        .help = "the form for this backend: torch is for --device cuda:0; else the first that can be had"},
    {.flag = "quiet", .type = FM_OPTION_BOOL, .group = GROUP, .help = "no progress, errors only"},
    {0},
};

static const fm_option import_flags[] = {
    {.flag = "name",
        .type = FM_OPTION_TEXT,
        .group = GROUP,
        .metavar = "NAME",
        .help = "name of the model from now on; else the file's name"},
    {.flag = "head",
        .type = FM_OPTION_CHOICE,
        .values = "yolox yolov5 yolov8 yolov8-seg yolov5-seg mask-rcnn semantic softmax feature pixels",
        .group = GROUP,
        .metavar = "TYPE",
        .help = "how to read its outputs; else guessed from their shapes"},
    {.flag = "labels",
        .type = FM_OPTION_FILE,
        .group = GROUP,
        .metavar = "FILE",
        .help = "class names, one a line"},
    {0},
};

static const fm_option enhance_flags[] = {
    {.flag = "output",
        .type = FM_OPTION_FILE,
        .group = GROUP,
        .metavar = "OUT",
        .help = "the picture, or the folder, to write; also -o OUT"},
    {.flag = "denoise",
        .type = FM_OPTION_TEXT,
        .fallback = "none",
        .group = GROUP,
        .metavar = "HOW",
        .help = "none, auto, or nlm[:h=H][:hcolor=H], H in grey levels"},
    {.flag = "color",
        .type = FM_OPTION_TEXT,
        .fallback = "none",
        .group = GROUP,
        .metavar = "HOW",
        .help = "none, auto, or wb=, levels=, gamma=, clahe=, saturation="},
    {.flag = "lut",
        .type = FM_OPTION_FILE,
        .group = GROUP,
        .metavar = "FILE",
        .help = "apply the 3D colour table of a .cube file"},
    {.flag = "sr",
        .type = FM_OPTION_TEXT,
        .fallback = "none",
        .group = GROUP,
        .metavar = "HOW",
        .help = "enlarge: none, x2, x3, x4 by our own network, a model's name or path, or lanczos:2, :3, :4"},
    {.flag = "sr-tile",
        .type = FM_OPTION_INT,
        .min = 0,
        .max = 4096,
        .fallback = "0",
        .group = GROUP,
        .metavar = "N",
        .help = "pixels a side of what a network gets at once, 0: as the model says"},
    {.flag = "device",
        .type = FM_OPTION_TEXT,
        .values = "cpu cuda:0",
        .fallback = "cpu",
        .group = GROUP,
        .metavar = "DEVICE",
        .help = "where a network that enlarges runs: cpu, cuda:0"},
    {.flag = "precision",
        .type = FM_OPTION_CHOICE,
        .values = "fp32 bf16 fp16",
        .fallback = "fp32",
        .group = GROUP,
        .metavar = "TYPE",
        .help = "arithmetic of that network"},
    {.flag = "compare",
        .type = FM_OPTION_FILE,
        .group = GROUP,
        .metavar = "FILE",
        .help = "also write before and after, side by side"},
    {.flag = "threads",
        .type = FM_OPTION_INT,
        .min = 0,
        .max = 64,
        .fallback = "0",
        .group = GROUP,
        .metavar = "N",
        .help = "threads; 0: one a core"},
    {.flag = "quiet", .type = FM_OPTION_BOOL, .group = GROUP, .help = "no progress, errors only"},
    {0},
};

static const fm_option eval_flags[] = {
    {.flag = "iou",
        .type = FM_OPTION_NUMBER,
        .min = 0.01,
        .max = 1,
        .fallback = "0.5",
        .group = GROUP,
        .metavar = "N",
        .help = "overlap from which a box counts as found, for CLEAR and Identity"},
    {.flag = "rules",
        .type = FM_OPTION_CHOICE,
        .values = "trackeval motmetrics",
        .fallback = "trackeval",
        .group = GROUP,
        .metavar = "NAME",
        .help = "whose rules CLEAR follows where programs differ; see docs/eval.md"},
    {.flag = "gt-format",
        .type = FM_OPTION_CHOICE,
        .values = "auto mot15 mot17 mot20",
        .fallback = "auto",
        .group = GROUP,
        .metavar = "NAME",
        .help = "what the last columns of ground truth mean; mot16 is as mot17, auto goes by their count"},
    {.flag = "json", .type = FM_OPTION_BOOL, .group = GROUP, .help = "write JSON"},
    {0},
};

static const fm_option help_flags[] = {
    {.flag = "man", .type = FM_OPTION_BOOL, .group = GROUP, .help = "write the man page", .hidden = true},
    {.flag = "markdown",
        .type = FM_OPTION_BOOL,
        .group = GROUP,
        .help = "write the tables of docs/config.md",
        .hidden = true},
    {.flag = "schema",
        .type = FM_OPTION_BOOL,
        .group = GROUP,
        .help = "write the JSON schema of configuration files, for editors"},
    {0},
};

const cli_command cli_commands[] = {
    {.name = "run",
        .operands = "[INPUT...]",
        .operand = CLI_OPERAND_FILE,
        .max_operands = -1,
        .about = "detect objects in videos and pictures",
        .text = "INPUT is a video file, a picture, a folder of pictures, http(s)://..., rtsp(s)://...,\n"
                "v4l2:///dev/video0, or testsrc:WxH@FPS (moving shapes, for tests).\n"
                "Without --out, results go to standard output: one JSON object a line and frame.\n"
                "Ctrl-C once finishes what was read, twice drops it. Exit codes: 0 done, 1 failed, 2 wrong\n"
                "usage, 3 done but some streams or files failed, 130 interrupted.",
        .examples = "framemill run street.mp4 > street.jsonl\n"
                    "framemill run --out results --annotate --classes person,car gate.mp4 yard.mp4\n"
                    "framemill run --detector motion --realtime rtsp://camera/stream\n"
                    "framemill run --tracker deepsort --classes person --out results street.mp4\n"
                    "framemill run --config site.yaml --report report.json",
        .has_settings = true,
        .own = run_flags,
        .run = cli_cmd_run},
    {.name = "enhance",
        .operands = "IN",
        .operand = CLI_OPERAND_FILE,
        .min_operands = 1,
        .max_operands = 1,
        .about = "denoise, correct and enlarge pictures",
        .text = "IN is a picture or a folder of pictures; OUT is then a folder too, and files keep their "
                "names.\n"
                "OUT's ending says the kind: .png, .jpg, .webp or .tif. Steps run in the order of the flags\n"
                "below. Results have 8 bits a channel, no alpha (white shows through) and no metadata.\n"
                "Not there yet: videos and their sound. Exit codes: 0 done, 1 failed,\n"
                "2 wrong usage, 3 done but some pictures of a folder failed, 130 interrupted.",
        .examples = "framemill enhance night.jpg -o clean.png --denoise auto --color auto\n"
                    "framemill enhance grey.png -o big.png --denoise nlm:h=10 --sr lanczos:2\n"
                    "framemill enhance small.jpg -o large.jpg --sr x2\n"
                    "framemill enhance scans -o better --color wb=grey,clahe=2\n"
                    "framemill enhance a.jpg -o b.jpg --lut film.cube --compare both.jpg",
        .own = enhance_flags,
        .run = cli_cmd_enhance},
    {.name = "models list",
        .operands = "",
        .about = "show the models that are known, and which are installed",
        .own = list_flags,
        .run = cli_cmd_models_list},
    {.name = "models fetch",
        .operands = "NAME...",
        .operand = CLI_OPERAND_MODEL,
        .min_operands = 1,
        .max_operands = -1,
        .about = "bring a model's weights here",
        .text = "Looks in the folder $FRAMEMILL_MODEL_MIRROR first, then at the model's own address, checks "
                "size\n"
                "and digest, and shows the licence of models under the AGPL before it fetches them.",
        .examples = "framemill models fetch yolox-nano\nframemill models fetch --accept-licence yolov8n",
        .own = fetch_flags,
        .run = cli_cmd_models_fetch},
    {.name = "models verify",
        .operands = "[NAME...]",
        .operand = CLI_OPERAND_MODEL,
        .max_operands = -1,
        .about = "check size and digest of installed models",
        .run = cli_cmd_models_verify},
    {.name = "models show",
        .operands = "NAME",
        .operand = CLI_OPERAND_MODEL,
        .min_operands = 1,
        .max_operands = 1,
        .about = "tell everything about a model",
        .own = json_flags,
        .run = cli_cmd_models_show},
    {.name = "models import",
        .operands = "FILE",
        .operand = CLI_OPERAND_FILE,
        .min_operands = 1,
        .max_operands = 1,
        .about = "take a model file of your own (ONNX, OpenVINO IR, TFLite) in",
        .examples = "framemill models import my.onnx --name my-model --labels my-labels.txt",
        .own = import_flags,
        .run = cli_cmd_models_import},
    {.name = "eval",
        .operands = "GT RESULT",
        .operand = CLI_OPERAND_FILE,
        .min_operands = 2,
        .max_operands = 2,
        .about = "compare tracks with ground truth: CLEAR, Identity, HOTA",
        .text =
            "GT and RESULT are files of MOT text (frame,id,x,y,w,h,score,...), or folders of them: GT holds\n"
            "SEQ/gt/gt.txt, SEQ/gt.txt or SEQ.txt, RESULT SEQ.mot.txt or SEQ.txt. Sequences whose files "
            "fail\n"
            "are left out of what is combined, and the exit code is 3.",
        .examples = "framemill eval gt.txt results/vtest.mot.txt\n"
                    "framemill eval MOT15/train results --json > scores.json\n"
                    "framemill eval gt.txt tracks.txt --rules motmetrics   # as py-motmetrics counts",
        .own = eval_flags,
        .run = cli_cmd_eval},
    {.name = "quality",
        .operands = "A B",
        .operand = CLI_OPERAND_FILE,
        .min_operands = 2,
        .max_operands = 2,
        .about = "measure how far two pictures are apart: PSNR, SSIM",
        .text = "Both are read as RGB at 8 bits and must be of one size. Y is the luma of papers on\n"
                "super-resolution (BT.601, 16..235, not rounded); see docs/quality.md.",
        .examples = "framemill quality clean.png denoised.png\n"
                    "framemill quality clean.png denoised.png --json | jq .ssim_y",
        .own = json_flags,
        .run = cli_cmd_quality},
    {.name = "doctor",
        .operands = "",
        .about = "show what this machine and this build offer",
        .text = "Exit code 1 when something is broken.",
        .own = json_flags,
        .run = cli_cmd_doctor},
    {.name = "version",
        .operands = "",
        .about = "show the version",
        .own = json_flags,
        .run = cli_cmd_version},
    {.name = "completion",
        .operands = "bash|zsh|fish",
        .operand = CLI_OPERAND_SHELL,
        .min_operands = 1,
        .max_operands = 1,
        .about = "write the completion script of a shell",
        .examples = "eval \"$(framemill completion bash)\"\n"
                    "framemill completion fish > ~/.config/fish/completions/framemill.fish",
        .run = cli_cmd_completion},
    {.name = "help",
        .operands = "[COMMAND]",
        .operand = CLI_OPERAND_COMMAND,
        .max_operands = 2,
        .about = "explain a command",
        .own = help_flags,
        .run = cli_cmd_help},
};
const size_t cli_command_count = sizeof(cli_commands) / sizeof(cli_commands[0]);

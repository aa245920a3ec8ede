# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Getting started: pictures, a better picture, objects that are followed, a video, and finding it again.

    pip install ./python opencv-python-headless
    python examples/getting_started.py PICTURE VIDEO...
"""
import asyncio
import sys
import tempfile

import cv2
import framemill


def pictures(path):
    """What is in it? The models are fetched once."""
    framemill.fetch_model("yolox-nano")
    with framemill.ImageProcessor({"model_paths": {"detection": "yolox-nano"}, "batch_size": 4}) as processor:
        image = cv2.imread(path)
        for found in processor.process_batch([image, image[:, ::2].copy()]):
            for o in found["objects"]:
                print(f"{o['label']:10} {o['score']:.2f} at {o['box']}")


def better(path):
    image = framemill.EnhancementPipeline(denoise="auto", color="auto").enhance(cv2.imread(path))
    print("enhanced:", image.shape, image.dtype)


async def videos(paths):
    """All videos at a time, in batches across them; results come frame by frame."""
    framemill.fetch_model("osnet-x0.25")
    frames = tracked = 0
    with framemill.VideoStreamManager(paths, buffer_size=30, detector="yolox-nano", tracker="deepsort", frames=50) as manager:
        async for result in manager.process_streams():
            frames += 1
            tracked += int((result.track_ids > 0).sum())
        print(f"{frames} frames, {tracked} sightings of tracked objects, {manager.progress['fps']:.0f} frames/s")


async def store(path):
    with tempfile.TemporaryDirectory() as folder, framemill.DataManager(folder) as data, framemill.ImageProcessor() as processor:
        image = cv2.imread(path)
        await data.store_frame_data("first", image, {"site": "north"}, result=processor.run([image])[0])
        print("found again:", [hit["label"] for hit in data.search("person", where={"site": "north"})])


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    picture, *inputs = sys.argv[1:]
    pictures(picture)
    better(picture)
    asyncio.run(videos(inputs))
    asyncio.run(store(picture))


if __name__ == "__main__":
    main()

"""Recognition in tensors: what the shipped networks say by OpenVINO, they say on a device too.

Skipped where torch or ultralytics is missing. On CPU tensors, and on a GPU where there is one.
"""

import json
import shutil
import threading
from pathlib import Path

import av
import numpy as np
import pytest

from detectors.manifest import SHIPPED
from detectors.preprocess import PLATE_MARGIN
from detectors.scene import SceneOptions
from pipeline.errors import WeightsError
from pipeline.types import VehicleClass

torch = pytest.importorskip("torch", reason="torch missing: pip install 'torch>=2.7'")
pytest.importorskip("ultralytics", reason="ultralytics missing: pip install 'ultralytics>=8.4'")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves  # noqa: E402

from detectors.device.lanes import Lane  # noqa: E402
from detectors.device.pictures import DevicePicture, Gallery  # noqa: E402
from detectors.device.reader import DeviceReader  # noqa: E402
from detectors.device.recogniser import (  # noqa: E402
    DeviceRecogniser,
    _filled,
    load_device_recogniser,
)
from detectors.device.scene import DeviceScene  # noqa: E402

PLANES = ((1080, 1920, 1), (540, 960, 2))

CLIP = Path(__file__).parents[3] / "pipeline" / "demo_assets" / "demo.mp4"


@pytest.fixture(scope="module", params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request) -> str:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no NVIDIA GPU that torch can use")
    return request.param


@pytest.fixture(scope="module")
def on_device(device, recogniser) -> DeviceRecogniser:
    return load_device_recogniser(device, colour=recogniser.colour)


@pytest.fixture(scope="module")
def frames() -> list[av.VideoFrame]:
    """Frames of the demo clip, some of them with one vehicle, some with two."""
    with av.open(str(CLIP)) as clip:
        return [f for number, f in enumerate(clip.decode(video=0)) if number % 90 in (45, 50)][:4]


@pytest.fixture(scope="module")
def images(frames) -> list[np.ndarray]:
    return [frame.to_ndarray(format="bgr24") for frame in frames]


@pytest.fixture(scope="module")
def by_openvino(recogniser, images):
    return recogniser.recognise(images)


def device_picture(frame: av.VideoFrame, device: str) -> DevicePicture:
    planes = frame.reformat(format="nv12").planes
    luma, chroma = (torch.from_dlpack(plane).clone().to(device) for plane in planes)
    return DevicePicture(luma[..., None], chroma)


def assert_alike(given, wanted, pixels: float = 2.0) -> None:
    """Sure plates and vehicles are the same, and where they were."""
    assert len(given) == len(wanted)
    seen = 0
    for (plates, vehicles), (wanted_plates, wanted_vehicles) in zip(given, wanted, strict=True):
        sure = [plate for plate in wanted_plates if plate.detection.confidence > 0.6]
        for plate in sure:
            near = min(
                plates, key=lambda p: np.abs(p.detection.corners - plate.detection.corners).max()
            )
            apart = np.abs(near.detection.corners - plate.detection.corners).max()
            assert apart < pixels
            assert near.read.text == plate.read.text
            assert near.read.plate_class == plate.read.plate_class
            assert near.read.probability == pytest.approx(plate.read.probability, abs=0.1)
            assert near.detection.confidence == pytest.approx(plate.detection.confidence, abs=0.05)
            seen += 1
        for vehicle in (v for v in wanted_vehicles if v.confidence > 0.5):
            near = min(vehicles, key=lambda v: np.abs(np.subtract(v.box, vehicle.box)).max())
            apart = np.abs(np.subtract(near.box, vehicle.box)).max()
            assert apart < 0.05 * (vehicle.box[2] - vehicle.box[0])
            assert (near.vehicle_class, near.colour) == (vehicle.vehicle_class, vehicle.colour)
    assert seen >= len(given) // 2


def test_the_same_is_seen_and_read_as_by_openvino(on_device, images, by_openvino) -> None:
    assert_alike(on_device.recognise(images), by_openvino)


def test_planes_in_the_devices_memory_give_the_same(on_device, device, frames, by_openvino) -> None:
    shown = [device_picture(frame, device) for frame in frames]
    assert_alike(on_device.recognise(shown), by_openvino)


def test_any_number_of_pictures_of_any_size_keeps_its_order(on_device, images) -> None:
    small = SceneOptions(batch=2)
    some = load_small(on_device, small)
    mixed = [images[0], images[1][:, 160:1120].copy(), images[2], images[0][::2, ::2]]
    together = some.recognise(mixed)
    for image, answer in zip(mixed, together, strict=True):
        (alone,) = some.recognise([image])
        assert [p.read.text for p in answer[0]] == [p.read.text for p in alone[0]]
        assert len(answer[1]) == len(alone[1])
    assert on_device.recognise([]) == []


def load_small(on_device: DeviceRecogniser, options: SceneOptions) -> DeviceRecogniser:
    scene = DeviceScene(on_device.detector._net, on_device.lane, options)
    return DeviceRecogniser(scene, on_device.reader, on_device.colour, lane=on_device.lane)


def test_a_batch_is_looked_at_while_another_is_read(on_device, images) -> None:
    first, second = on_device.submit(images[:2]), on_device.submit(images[2:])
    apart = on_device.collect(first) + on_device.collect(second)
    texts = [[p.read.text for p in plates] for plates, _ in apart]
    assert texts == [[p.read.text for p in plates] for plates, _ in on_device.recognise(images)]


def test_known_plates_are_not_read(on_device, images) -> None:
    some = load_small(on_device, SceneOptions(batch=1))
    before = some.recognise(images[:3])
    asked = []

    def known(index, plate):
        asked.append(index)
        return before[0][0][0].read

    after = some.recognise(images[:3], known=known)
    assert sorted(set(asked)) == [i for i, (plates, _) in enumerate(before) if plates]
    assert all(p.read is before[0][0][0].read for plates, _ in after for p in plates)


def test_a_second_look_finds_what_the_first_does_not(on_device, recogniser, images) -> None:
    plate = recogniser.recognise(images[:1])[0][0][0].detection
    x1, y1, x2, y2 = (round(edge) for edge in plate.box)
    close = images[0][y1 - 12 : y2 + 12, x1 - 12 : x2 + 12].repeat(5, 0).repeat(5, 1)
    twice = load_small(on_device, SceneOptions(second_look=True))
    ((plates, _),) = twice.recognise([close])
    assert plates


def test_crops_are_read(on_device, recogniser, images) -> None:
    plates = [p.detection for p in recogniser.recognise(images[:1])[0][0]]
    x1, y1, x2, y2 = (round(edge) for edge in plates[0].box)
    crop = images[0][y1 - 3 : y2 + 3, x1 - 3 : x2 + 3]
    (wanted,), (given,) = recogniser.read_crops([crop]), on_device.read_crops([crop])
    assert wanted.text
    assert given.text == wanted.text
    assert on_device.reader.read([]) == []
    (alone,) = on_device.reader.read([crop])
    assert alone.char_probs.shape == given.char_probs.shape


def test_threads_do_not_mix_up_their_pictures(on_device, images) -> None:
    wanted = [[p.read.text for p in plates] for plates, _ in on_device.recognise(images)]
    answers: dict[int, list[str | None]] = {}

    def work(index: int) -> None:
        ((plates, _),) = on_device.recognise([images[index]])
        answers[index] = [p.read.text for p in plates]

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answers[index] for index in range(4)] == wanted[:4]


def test_an_empty_road_is_empty(on_device) -> None:
    ((plates, vehicles),) = on_device.recognise([np.full((720, 1280, 3), 90, np.uint8)])
    assert not plates
    assert not vehicles


@pytest.fixture(scope="module")
def own_weights(tmp_path_factory) -> Path:
    """The shipped scene net as an ultralytics file, with names of one's own."""
    from detectors.manifest import load_model
    from detectors.nets.scene import build

    net = _filled(build(), load_model("scene_state"))
    net.names = {0: "License_Plate", 1: "vehicle", 2: "van", 3: "bus", 4: "truck", 5: "bicycle"}
    net.args = {"task": "pose", "imgsz": 640}
    net.task = "pose"
    path = tmp_path_factory.mktemp("own") / "mine.pt"
    torch.save({"model": net, "train_args": net.args, "epoch": -1}, path)
    return path


def test_weights_of_ones_own_run_on_the_device(
    device, recogniser, own_weights, images, by_openvino
) -> None:
    own = load_device_recogniser(device, colour=recogniser.colour, scene_weights=own_weights)
    answers = own.recognise(images)
    assert own.version.startswith("scene mine.pt")
    for (plates, vehicles), (wanted, cars) in zip(answers, by_openvino, strict=True):
        for plate in (p for p in wanted if p.detection.confidence > 0.7):
            apart = [np.abs(p.detection.corners - plate.detection.corners).max() for p in plates]
            assert min(apart) < 12  # the best anchor alone, its corners not stretched
        assert len(vehicles) >= sum(v.confidence > 0.6 for v in cars)
        assert {v.vehicle_class for v in vehicles} <= {VehicleClass.OTHER, VehicleClass.TRUCK}


def test_an_altered_state_is_refused(tmp_path, device) -> None:
    shutil.copytree(SHIPPED, tmp_path, dirs_exist_ok=True)
    (tmp_path / "scene_state.pt").write_bytes(b"no weights")
    with pytest.raises(WeightsError, match=r"scene_state\.pt: altered"):
        load_device_recogniser(device, tmp_path)


def test_a_folder_without_states_is_refused(tmp_path, device) -> None:
    shutil.copytree(SHIPPED, tmp_path, dirs_exist_ok=True)
    manifest = json.loads((SHIPPED / "manifest.json").read_text(encoding="utf-8"))
    del manifest["models"]["scene_state"]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(WeightsError, match="names no model 'scene_state'"):
        load_device_recogniser(device, tmp_path)


class TouchesOfTheHost(TorchDispatchMode):
    """Operations that are given a tensor of the host's."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[str] = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        given = tree_leaves((args, kwargs or {}))
        if any(isinstance(one, torch.Tensor) and one.device.type == "cpu" for one in given):
            self.operations.append(str(operation))
        return operation(*args, **(kwargs or {}))


def test_networks_and_what_follows_them_leave_the_host_alone() -> None:
    """A CUDA graph cannot be recorded of anything that waits for the host or is copied from it.

    Tensors of the device "meta" have no content: whoever asks for it, or mixes them with the
    host's, fails.
    """
    from detectors.nets.reader import ReaderNet
    from detectors.nets.scene import build, for_inference

    lane = Lane(torch.device("meta"))
    scene = DeviceScene(for_inference(build()), lane)
    reader = DeviceReader(ReaderNet(), lane)
    with lane.open():
        planes = (torch.empty(s, dtype=torch.uint8, device="meta") for s in PLANES)
        held = Gallery([DevicePicture(*planes), np.zeros((720, 1280, 3), np.uint8)], lane).held()
    look = scene.start(held, scene.first_boxes(held))
    assert [tuple(len(places) for places, _ in look.parts)] == [(2,)]
    corners = np.float32([[100, 100], [200, 100], [200, 130], [100, 130]])
    views = [(held[0], corners, PLATE_MARGIN), (held[1], 5 * corners, PLATE_MARGIN)]
    assert [count for count, _ in reader.start(views).parts] == [2]
    with lane.open(), TouchesOfTheHost() as touches:
        plates, vehicles = scene.see(torch.empty((2, 3, 384, 640), device="meta"))
        characters, classes = reader._run(torch.empty((2, 3, 48, 168), device="meta"))
    assert plates.shape[0] == vehicles.shape[0] == characters.shape[0] == classes.shape[0] == 2
    assert not touches.operations
    with pytest.raises(RuntimeError, match="device"):
        _ = torch.empty(3, device="meta") + torch.ones(3)

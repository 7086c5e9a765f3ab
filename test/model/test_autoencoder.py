"""The doors of a model: one check for every kind of array, results of the kind that went in, batches of any size."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from tiae_ros import load_model
from tiae_ros.errors import DataError, ModelError
from tiae_ros.model.autoencoder import Autoencoder, Description
from tiae_ros.model.folder import PROTOTYPES, ModelFolder
from tiae_ros.model.manifest import Manifest
from tiae_ros.model.shifts import shift_images

IMAGE_DOORS = ("encode", "restore", "estimate_shift", "estimate_parameters", "place", "infer", "describe")
every_door = pytest.mark.parametrize("door", IMAGE_DOORS)


@pytest.fixture(scope="module")
def model():
    return load_model("grasp", threads=1)


def windows(count=3, channels=2, seed=0):
    return np.random.default_rng(seed).random((count, channels, 32, 32), dtype=np.float32)


def parts(result):
    """The arrays of a result, of one or of several; without those that a model does not tell."""
    several = vars(result).values() if hasattr(result, "__dataclass_fields__") else [result]
    return [part for part in several if part is not None]


def assert_same(found, wanted, atol=1e-5):
    for one, other in zip(parts(found), parts(wanted), strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), atol=atol, rtol=1e-4)


@pytest.mark.parametrize(("name", "channels"), [("grasp", 2), ("depth", 1), ("hands", 3)])
def test_shapes_of_every_shipped_model(name, channels):
    model, images = load_model(name), windows(channels=channels)
    shapes = {door: [part.shape for part in parts(getattr(model, door)(images))] for door in IMAGE_DOORS}
    assert shapes == {
        "encode": [(3, 96)],
        "restore": [images.shape],
        "estimate_shift": [(3, 2)],
        "estimate_parameters": [(3, 4)],
        "place": [images.shape],
        "infer": [(3, 96), images.shape, (3, 2), images.shape, (3, 2)],
        "describe": [(3, 96), (3, 2)],
    }
    assert model.decode(model.encode(images)).shape == images.shape
    for door in ("restore", "place"):
        values = getattr(model, door)(images)
        assert values.min() >= 0
        assert values.max() <= 1 + 1e-6


def test_doors_agree_with_each_other(model):
    images = windows()
    result, described = model.infer(images), model.describe(images)
    assert_same(result.descriptor, model.encode(images))
    assert_same(result.restored, model.restore(images))
    assert_same(result.restored, model.decode(result.descriptor))
    assert_same(result.shift, model.estimate_shift(images))
    assert_same(result.shift, model.estimate_parameters(images)[:, :2])
    assert_same(result.placed, model.place(images))
    assert_same(described, Description(result.descriptor, result.shift))
    assert_same(model.restore_described(described), result)


def test_comparing_finds_where_the_pattern_is(model):
    images = np.zeros((2, 2, 32, 32), np.float32)
    images[:, 0, 10:22, 12:20] = images[:, 1, 8:14, 18:24] = 1
    images[1] = shift_images(images[1:], np.array([[3, -2]]))[0]
    for compare in (False, True):
        shifts = model.estimate_shift(images, compare=compare)
        np.testing.assert_allclose(shifts[1] - shifts[0], [3, -2], atol=0.5)
        parameters = model.estimate_parameters(images, compare=compare)
        np.testing.assert_allclose(parameters[:, :2], shifts, atol=1e-5)
        assert not parameters[:, 2:].any()


@every_door
def test_tensors_in_tensors_out(model, door):
    torch = pytest.importorskip("torch")
    images = windows()
    wanted = getattr(model, door)(images)
    for given in (torch.from_numpy(images), torch.from_numpy(images).double().requires_grad_()):
        found = getattr(model, door)(given)
        for part in parts(found):
            assert isinstance(part, torch.Tensor)
            assert not part.requires_grad
        assert_same(found, wanted)
    assert all(isinstance(part, np.ndarray) for part in parts(wanted))
    assert all(len(part) == 0 for part in parts(getattr(model, door)(torch.zeros(0, 2, 32, 32))))


def test_tensors_through_the_other_doors(model):
    torch = pytest.importorskip("torch")
    descriptors = model.encode(torch.from_numpy(windows()))
    assert isinstance(model.decode(descriptors), torch.Tensor)
    assert model.decode(descriptors.half()).dtype == torch.float32
    described = model.describe(torch.from_numpy(windows()))
    assert all(isinstance(part, torch.Tensor) for part in parts(model.restore_described(described)))
    assert model.label(torch.from_numpy(model.prototypes[3])) == model.manifest.prototype_names[3]
    with pytest.raises(DataError, match=r"torch\.int64"):
        model.encode(torch.zeros(1, 2, 32, 32, dtype=torch.int64))
    with pytest.raises(DataError, match="0 to 1"):
        model.encode(torch.full((1, 2, 32, 32), torch.nan))


@every_door
def test_arrays_of_any_layout_mean_the_same(model, door, recwarn):
    images = windows()
    wanted = getattr(model, door)(images)
    frozen = np.frombuffer(images.tobytes(), np.float32).reshape(images.shape)  # as it comes out of a message
    wide = np.zeros((6, 2, 32, 64), np.float32)
    wide[::2, :, :, ::2] = images
    turned = np.ascontiguousarray(images[::-1, :, ::-1])[::-1, :, ::-1]
    kinds = (images.astype(">f4"), images.astype(np.float64), np.asfortranarray(images), wide[::2, :, :, ::2], turned)
    for same in (frozen, *kinds):
        assert_same(getattr(model, door)(same), wanted)
    assert_same(getattr(model, door)(images.astype(np.float16)), wanted, atol=0.05)
    assert not recwarn.list


@every_door
def test_bytes_and_floats_mean_the_same(model, door):
    pixels = np.random.default_rng(1).integers(0, 256, (2, 2, 32, 32), dtype=np.uint8)
    assert_same(getattr(model, door)(pixels), getattr(model, door)(pixels / 255))


@every_door
@pytest.mark.parametrize("kind", [np.float32, np.uint8, np.float64])
def test_no_windows_no_results(model, door, kind):
    found, one = getattr(model, door)(np.zeros((0, 2, 32, 32), kind)), getattr(model, door)(windows(1))
    for part, other in zip(parts(found), parts(one), strict=True):
        assert part.shape == (0, *other.shape[1:])
        assert part.dtype == np.float32
    if door == "describe":
        assert all(len(part) == 0 for part in parts(model.restore_described(found)))


def test_no_descriptors_no_windows(model):
    assert model.decode(np.zeros((0, 96), np.float32)).shape == (0, 2, 32, 32)
    assert model.estimate_shift(np.zeros((0, 2, 32, 32), np.uint8), compare=True).shape == (0, 2)


@pytest.mark.parametrize("door", ["encode", "place", "infer"])
def test_many_windows_equal_their_batches(model, door):
    images = windows(1300)
    whole = getattr(model, door)(images)
    some = [getattr(model, door)(images[start : start + 325]) for start in range(0, 1300, 325)]
    for index, part in enumerate(parts(whole)):
        np.testing.assert_allclose(part, np.concatenate([parts(one)[index] for one in some]), atol=1e-4)
    alone = getattr(model, door)(images[1299:])
    for part, other in zip(parts(whole), parts(alone), strict=True):
        np.testing.assert_allclose(part[1299:], other, atol=1e-4)


def with_value(value, kind=np.float32):
    images = np.zeros((1, 2, 32, 32), kind)
    images[0, 0, 3, 4] = value
    return images


@every_door
@pytest.mark.parametrize(
    ("images", "said"),
    [
        ([[1.0]], "images are a list; accepted are numpy arrays and torch tensors"),
        (None, "images are a NoneType"),
        (np.zeros((2, 1, 32, 32), np.float32), "channels hand_mask, object_mask"),
        (np.zeros((2, 2, 31, 32), np.float32), "32×32"),
        (np.zeros((0, 2, 31, 32), np.float32), "32×32"),
        (np.zeros((2, 32, 32), np.float32), r"\(N, 2, 32, 32\)"),
        (np.float32(1), r"\(N, 2, 32, 32\)|a float32"),
        (np.zeros((2, 2, 32, 32), np.int64), "images are int64; accepted are uint8"),
        (np.zeros((2, 2, 32, 32), bool), "images are bool"),
        (np.zeros((2, 2, 32, 32), complex), "images are complex"),
        (np.zeros((2, 2, 32, 32), object), "images are object"),
        (np.zeros((2, 2, 32, 32), "U1"), "images are <U1"),
        (with_value(255.0), "lie between 0 and 255; accepted are floats from 0 to 1"),
        (with_value(-1.0), "0 to 1"),
        (with_value(np.nan), "0 to 1"),
        (with_value(np.inf), "0 to 1"),
        (with_value(1e300, np.float64), "0 to 1"),
        (np.concatenate((windows(1299), with_value(np.nan))), "0 to 1"),
    ],
)
def test_other_arrays_are_refused(model, door, images, said):
    with pytest.raises(DataError, match=said) as caught:
        getattr(model, door)(images)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("descriptors", "said"),
    [
        ([[0.0] * 96], "descriptors are a list"),
        (np.zeros((2, 95), np.float32), r"\(N, 96\)"),
        (np.zeros(96, np.float32), r"\(N, 96\)"),
        (np.zeros((2, 96), object), "type object"),
        (np.zeros((2, 96), bool), "type bool"),
        (np.full((2, 96), np.nan), "not finite"),
        (np.full((2, 96), 1e300), "not finite"),
    ],
)
def test_other_descriptors_are_refused(model, descriptors, said):
    with pytest.raises(DataError, match=said):
        model.decode(descriptors)
    if said != "not finite":  # a model's own may be, which is for those to notice who ask for it
        with pytest.raises(DataError, match=said):
            model.restore_described(Description(descriptors, np.zeros((2, 2), np.float32)))


def test_descriptors_of_any_layout(model):
    descriptors = model.encode(windows())
    wanted = model.decode(descriptors)
    for same in (descriptors.astype(">f4"), descriptors.astype(float), np.asfortranarray(descriptors)):
        assert_same(model.decode(same), wanted)
        assert_same(model.restore_described(Description(same, np.zeros((3, 2)))).restored, wanted)
    assert_same(model.decode(descriptors[::-1]), wanted[::-1])
    assert_same(model.decode(np.zeros((1, 96), np.int64)), model.decode(np.zeros((1, 96), np.float32)))


def test_unusual_tensors_are_read_or_refused(model):
    torch = pytest.importorskip("torch")
    plain = torch.from_numpy(windows())
    wanted = model.encode(plain)
    kinds = (torch._neg_view(-plain), plain.to(memory_format=torch.channels_last), torch.nn.Parameter(plain))
    for same in kinds:
        assert_same(model.encode(same).detach(), wanted)
    for tensor in (plain.to_sparse(), plain.to("meta"), plain.to(torch.complex64), plain > 0.5):
        with pytest.raises(DataError, match="accepted are"):
            model.encode(tensor)
    with pytest.raises(DataError, match="0 to 1"):
        model.encode(255 * plain)
    with pytest.raises(DataError, match="MaskedArray"):
        model.encode(np.ma.masked_array(windows(), mask=True))
    assert_same(model.decode(torch.zeros(1, 96, dtype=torch.int64)), model.decode(torch.zeros(1, 96)))
    with pytest.raises(DataError, match=r"torch\.bool"):
        model.decode(torch.zeros(1, 96, dtype=torch.bool))
    with pytest.raises(DataError, match=r"accepted are numbers \(96,\)"):
        model.label(wanted)


@pytest.mark.parametrize("inference", [False, True])
def test_a_torch_head_learns_from_descriptors(model, inference):
    torch = pytest.importorskip("torch")
    with torch.inference_mode(inference):
        images = torch.from_numpy(windows())
    descriptors, head = model.encode(images), torch.nn.Linear(96, 2)
    head(descriptors).sum().backward()
    assert head.weight.grad.abs().sum() > 0


def test_halves_that_do_not_fit_are_refused(model):
    described = model.describe(windows())
    with pytest.raises(DataError, match="3 descriptors and 2 parameters"):
        model.restore_described(Description(described.descriptor, described.parameters[:2]))
    with pytest.raises(DataError, match="a list is no Description"):
        model.restore_described([1])


def test_memory_does_not_grow_with_the_windows(tmp_path):
    """Windows mapped from a file: beside the results, a batch at a time is held."""
    model, _ = told_model(np.zeros((512, 2)))
    images = np.memmap(tmp_path / "windows", np.uint8, "w+", shape=(20_000, 1, 32, 32))  # 82 MB as floats
    for door, results in (("encode", 0), ("estimate_shift", 0), ("place", 82e6), ("infer", 164e6)):
        tracemalloc.start()
        getattr(model, door)(images)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < results + 30e6


class Told:
    """An engine whose encoder knows each window's pose, and whose decoder draws one pattern; it counts its passes."""

    name, device = "told", "cpu"

    def __init__(self, *told):
        self.told = [np.float32(rows) for rows in told]  # poses, and of newer models how sure their angles are
        self.passes = {"encoder.onnx": 0, "decoder.onnx": 0}

    def open(self, folder, file):
        def encoder(images):
            return [images.reshape(len(images), -1)[:, :2], *(rows[: len(images)] for rows in self.told)]

        def decoder(descriptors, parameters):
            restored = np.zeros((len(descriptors), 1, 32, 32), np.float32)
            restored[:, 0, 12:20, 12:18] = 0.5
            return [restored, shift_images(restored, np.rint(parameters[:, :2]).astype(int))]

        def run(*inputs):
            self.passes[file] += 1
            return (encoder if file == "encoder.onnx" else decoder)(*inputs)

        return run


def told_model(poses, confidence=None, **changes):
    manifest = {"model_id": "told", "network": {"name": "pose"}, "channels": ("digit",), "window_size": 32}
    engine, rows = Told(*(poses, confidence)[: 1 if confidence is None else 2]), changes.pop("prototypes", None)
    files = {}
    if rows is not None:
        path = Path(changes.pop("folder")) / PROTOTYPES
        np.save(path, np.float16(rows))
        files[PROTOTYPES] = path.read_bytes()
    folder = ModelFolder(Path("told"), Manifest(**{**manifest, "descriptor_size": 2, **changes}), files)
    model = Autoencoder(folder, engine)
    engine.passes = dict.fromkeys(engine.passes, 0)
    return model, engine.passes


def test_poses_cost_one_pass_of_the_encoder():
    poses = [[1.5, -2.25, 0.5, 0.1], [0, 3, -1, 0]]
    model, passes = told_model(poses)
    images = windows(2, channels=1)
    np.testing.assert_array_equal(model.estimate_parameters(images), np.float32(poses))
    np.testing.assert_array_equal(model.estimate_shift(images), np.float32(poses)[:, :2])
    assert passes == {"encoder.onnx": 2, "decoder.onnx": 0}
    model.infer(images)
    assert passes == {"encoder.onnx": 3, "decoder.onnx": 1}
    assert model.describe(images[:0]).parameters.shape == (0, 4)


@pytest.mark.parametrize("row", [[1.5, -2.25, 0.5, 0.1], [1.5, -2.25, 0.5, 0.1, 1]])
def test_confidences_come_with_the_pose_in_one_pass(row):
    confidence = np.float32([[0.9, 0.1], [0.5, 0.5]])
    model, passes = told_model([row, row], confidence)
    images = windows(2, channels=1)
    np.testing.assert_array_equal(model.estimate_parameters(images), np.float32([row, row]))
    np.testing.assert_array_equal(model.angle_confidence(images), confidence)
    assert passes == {"encoder.onnx": 2, "decoder.onnx": 0}
    inferred = model.infer(images)
    assert passes == {"encoder.onnx": 3, "decoder.onnx": 1}
    np.testing.assert_array_equal(inferred.angle_confidence, confidence)
    np.testing.assert_array_equal(inferred.parameters, np.float32([row, row]))
    assert model.describe(images[:0]).angle_confidence.shape == (0, 2)


def test_poses_of_models_of_before_have_no_confidence():
    """Their encoders give two outputs: they load, but their angles are not called sure."""
    model, _ = told_model([[1.5, -2.25, 0.5, 0.1]])
    images = windows(1, channels=1)
    assert model.estimate_parameters(images).shape == (1, 4)
    assert model.describe(images).angle_confidence is None
    assert model.infer(images).angle_confidence is None
    with pytest.raises(ModelError, match="model told does not say how sure its angles are; train one with"):
        model.angle_confidence(images)
    shifts, _ = told_model([[1.5, -2.25]])
    with pytest.raises(ModelError, match="model told finds no angles; train one with --transforms shift,rotation"):
        shifts.angle_confidence(images)


@pytest.mark.parametrize(
    ("pose", "confidence"),
    [([0] * 3, None), ([0] * 6, None), ([0, 0], [1, 0]), ([0] * 4, [1]), ([0] * 4, [1, 0, 0])],
)
def test_encoders_of_other_outputs_are_refused(pose, confidence):
    with pytest.raises(ModelError, match=r"its manifest says .*; copy the model folder again"):
        told_model([pose], None if confidence is None else [confidence])


def test_comparing_refines_the_shift_of_a_pose():
    model, _ = told_model([[4, -2, 0.5, 0.1]])
    image = np.zeros((1, 1, 32, 32), np.float32)
    image[0, 0, 11:19, 15:21] = 0.5  # moved by (3, -1)
    np.testing.assert_allclose(model.estimate_parameters(image, compare=True), [[3, -1, 0.5, 0.1]], atol=0.2)
    np.testing.assert_allclose(model.estimate_shift(image, compare=True), [[3, -1]], atol=0.2)


def test_prototypes_name_what_is_near(tmp_path):
    known = {"prototypes": [[0, 0], [5, 0]], "prototype_names": ("mug", "pen"), "prototype_radius": 1.0}
    model, _ = told_model([[0, 0]], folder=tmp_path, **known)
    names = [model.label(np.array(one)) for one in ([0.5, 0.5], [4.5, 0.0], [2.5, 0.0], [5, 1])]
    assert names == ["mug", "pen", "", "pen"]
    nothing, _ = told_model([[0, 0]])
    assert nothing.label(np.zeros(2)) == ""
    for bad, said in (
        (np.zeros(3), r"accepted are numbers \(2,\)"),
        ([0, 0], "a list"),
        (np.array([None, None]), "type object"),
        (np.array([np.nan, 0]), "not finite"),
    ):
        for one in (model, nothing):
            with pytest.raises(DataError, match=said):
                one.label(bad)


def test_named_prototypes_need_their_rows(tmp_path):
    with pytest.raises(ModelError, match="its manifest says"):
        told_model([[0, 0]], prototype_names=("mug",))


def test_repeated_passes_leave_no_memory_behind(model):
    def memory_after(passes):
        for _ in range(passes):
            model.infer(windows(64))
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4  # kB

    before = memory_after(10)
    assert memory_after(40) - before < 20_000

"""Weights from files in the forms that people have them."""

import pickle

import public_nets as public
import pytest
import torch
from torch import nn

from gantutor import doctor
from gantutor.errors import BadInput

torch.manual_seed(0)
G, OTHER, D = public.DCGANGenerator(), public.DCGANGenerator(), public.DCGANDiscriminator()


def renamed(start, net=G):
    return {start + name: value for name, value in net.state_dict().items()}


def old_counters():
    return {name: value for name, value in G.state_dict().items() if "num_batches" not in name}


FORMS = {
    "netG.pth": (G.state_dict(), None),
    "DataParallel": (nn.DataParallel(G).state_dict(), None),
    "compiled": (torch.compile(G, backend="eager").state_dict(), None),
    "both": (renamed("module._orig_mod."), None),
    "a part compiled": ({n.replace("main.", "main._orig_mod."): v for n, v in G.state_dict().items()}, None),
    "averaged": (torch.optim.swa_utils.AveragedModel(G).state_dict(), None),
    "Lightning": ({"epoch": 3, "state_dict": {**renamed("discriminator.", D), **renamed("generator.")}}, None),
    "G and D": ({"step": 5, "netD": D.state_dict(), "netG": renamed("module.")}, None),
    "deep": ({"nets": {"G": G.state_dict()}, "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}}}, None),
    "of two": ({"G": OTHER.state_dict(), "G_ema": G.state_dict()}, "G_ema"),
    "before counters": (old_counters(), None),
    "sixteen bits": ({name: value.half() for name, value in G.state_dict().items()}, None),
}


@pytest.mark.parametrize(("content", "key"), FORMS.values(), ids=FORMS)
def test_weights_are_found_whatever_stands_before_their_names(tmp_path, content, key):
    torch.save(content, tmp_path / "netG.pth")
    atol = 1e-3 if content is FORMS["sixteen bits"][0] else 0
    for source in (tmp_path / "netG.pth", str(tmp_path / "netG.pth"), content):
        for net in (public.DCGANGenerator(), nn.DataParallel(public.DCGANGenerator())):
            assert doctor.load_weights(net, source, key) is net
            for name, value in getattr(net, "module", net).state_dict().items():
                torch.testing.assert_close(value, G.state_dict()[name], atol=atol, rtol=0)


class Harmful:
    def __reduce__(self):
        return print, ("code from the file was executed",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            public.DCGANGenerator(nz=64).state_dict(),
            r"main.0.weight is \(64, 8, 4, 4\) there \(noise of length 64\) and",
        ),
        (D.state_dict(), "does not fit this DCGANGenerator: "),
        ({"G": G.state_dict(), "G_ema": OTHER.state_dict()}, "holds several weights that fit, 'G' and 'G_ema': say"),
        ({"epoch": 3}, r"holds no weights, but 'epoch': save them with torch.save\(G.state_dict"),
        (torch.zeros(3), "holds no weights, but a Tensor"),
        ({**G.state_dict(), "extra": torch.zeros(1)}, "has extra, which the net has not"),
        ({n: v for n, v in G.state_dict().items() if n != "main.3.weight"}, "lacks main.3.weight"),
        (G, "holds more than weights, public_nets.DCGANGenerator, .*execute code"),
        (Harmful(), "holds more than weights, .*print, "),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, capfd, content, message):
    torch.save(content, tmp_path / "netG.pth")
    before = {name: value.clone() for name, value in OTHER.state_dict().items()}
    with pytest.raises(BadInput, match=message):
        doctor.load_weights(OTHER, tmp_path / "netG.pth")
    assert all(torch.equal(value, before[name]) for name, value in OTHER.state_dict().items())
    assert capfd.readouterr().out == ""


def test_files_that_are_none_are_named(tmp_path):
    (tmp_path / "page.pth").write_text("<html>Not found</html>")
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "list.pkl").write_bytes(pickle.dumps([1, 2]))
    torch.save(G.state_dict(), tmp_path / "whole.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:3000])
    for name in ("page.pth", "empty.pth", "list.pkl", "cut.pth"):
        with pytest.raises(BadInput, match=f"{name} (cannot be read as weights|holds no weights)"):
            doctor.load_weights(G, tmp_path / name)
    for name, message in (("none.pth", "there is no file"), ("a.safetensors", "there is no file")):
        with pytest.raises(BadInput, match=message):
            doctor.load_weights(G, tmp_path / name)
    (tmp_path / "a.safetensors").write_bytes(b"x")
    with pytest.raises(BadInput, match=r"safetensors format: give safetensors.torch.load_file"):
        doctor.load_weights(G, tmp_path / "a.safetensors")
    with pytest.raises(BadInput, match="net is the class DCGANGenerator: give a net to be filled"):
        doctor.load_weights(public.DCGANGenerator, tmp_path / "whole.pth")
    with pytest.raises(BadInput, match="holds no weights named 'G_ema'"):
        doctor.load_weights(G, tmp_path / "whole.pth", "G_ema")

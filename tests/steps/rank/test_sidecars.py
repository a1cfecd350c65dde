"""XMP sidecars, read back by exiv2, which darktable and digiKam use."""

from pathlib import Path

import pytest

from realqa_cli.steps.rank.sidecars import Marks, SidecarError, sidecars_of, write_sidecar

DARKTABLE = """<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:darktable="http://darktable.sf.net/"
    xmlns:dc="http://purl.org/dc/elements/1.1/"
   xmp:Rating="{rating}"
   darktable:xmp_version="5">
   <!-- a comment -->
   <darktable:history>
    <rdf:Seq>
     <rdf:li darktable:num="0" darktable:operation="exposure" darktable:params="00ab"/>
    </rdf:Seq>
   </darktable:history>
   <dc:subject><rdf:Bag><rdf:li>holiday &amp; sea</rdf:li></rdf:Bag></dc:subject>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""
LIGHTROOM = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/" crs:Exposure2012="+0.50"/>
<rdf:Description rdf:about="" xmlns:xap="http://ns.adobe.com/xap/1.0/"><xap:Rating>4</xap:Rating>
<xap:Label>Red</xap:Label></rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""


def fields(sidecar: Path) -> dict[str, str]:
    """All XMP properties, as exiv2 reads them."""
    pyexiv2 = pytest.importorskip("pyexiv2")
    with pyexiv2.ImageData(sidecar.read_bytes()) as data:
        return dict(data.read_xmp())


@pytest.fixture
def sidecar(tmp_path: Path) -> Path:
    return tmp_path / "a.jpg.xmp"


def test_a_new_sidecar_has_stars_and_the_label_of_kept_photos(sidecar: Path) -> None:
    assert write_sidecar(sidecar, Marks(4, keep=True)) == "written"
    found = fields(sidecar)
    assert (found["Xmp.xmp.Rating"], found["Xmp.xmp.Label"]) == ("4", "Green")


def test_a_photo_that_is_not_kept_has_no_label(sidecar: Path) -> None:
    write_sidecar(sidecar, Marks(1, keep=False))
    assert "Xmp.xmp.Label" not in fields(sidecar)


def test_the_edits_of_darktable_stay_as_they_were(sidecar: Path) -> None:
    sidecar.write_text(DARKTABLE.format(rating="0"))
    before = fields(sidecar)
    assert write_sidecar(sidecar, Marks(5, keep=True)) == "written"
    after = fields(sidecar)
    assert after["Xmp.xmp.Rating"] == "5"
    assert {key: value for key, value in after.items() if key in before} == before | {"Xmp.xmp.Rating": "5"}
    text = sidecar.read_text()
    for kept in ("<?xml version=", "<!-- a comment -->", 'darktable:params="00ab"', "holiday &amp; sea"):
        assert kept in text


@pytest.mark.parametrize("rating", ["3", "-1"])
def test_the_rating_of_a_person_stays_unless_overwriting_is_requested(sidecar: Path, rating: str) -> None:
    sidecar.write_text(DARKTABLE.format(rating=rating))
    assert write_sidecar(sidecar, Marks(5, keep=False)) == "kept"
    assert fields(sidecar)["Xmp.xmp.Rating"] == rating
    assert write_sidecar(sidecar, Marks(5, keep=False), overwrite=True) == "written"
    assert fields(sidecar)["Xmp.xmp.Rating"] == "5"


def test_properties_may_be_elements_of_any_description_under_any_prefix(sidecar: Path) -> None:
    sidecar.write_text(LIGHTROOM, encoding="utf-8")
    assert write_sidecar(sidecar, Marks(2, keep=True)) == "kept"
    assert sidecar.read_text(encoding="utf-8") == LIGHTROOM
    assert write_sidecar(sidecar, Marks(2, keep=True), overwrite=True) == "written"
    found = fields(sidecar)
    assert (found["Xmp.xmp.Rating"], found["Xmp.xmp.Label"]) == ("2", "Green")
    assert found["Xmp.crs.Exposure2012"] == "+0.50"
    assert "xap:Rating>2<" in sidecar.read_text(encoding="utf-8")


def test_a_later_run_updates_its_own_marks_and_not_those_that_a_person_changed(sidecar: Path) -> None:
    write_sidecar(sidecar, Marks(4, keep=True))
    assert write_sidecar(sidecar, Marks(4, keep=True)) == "unchanged"
    assert write_sidecar(sidecar, Marks(2, keep=False)) == "written"
    assert fields(sidecar)["Xmp.xmp.Rating"] == "2"
    assert "Xmp.xmp.Label" not in fields(sidecar)
    sidecar.write_text(sidecar.read_text().replace('xmp:Rating="2"', 'xmp:Rating="5"'))
    assert write_sidecar(sidecar, Marks(1, keep=False)) == "kept"
    assert fields(sidecar)["Xmp.xmp.Rating"] == "5"


def test_a_dry_run_writes_nothing(sidecar: Path) -> None:
    assert write_sidecar(sidecar, Marks(4, keep=True), dry_run=True) == "written"
    assert not sidecar.exists()


BOMB = (
    '<!DOCTYPE b [<!ENTITY a "xxxxxxxxxx">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + "]>"
)
SECRET = '<!DOCTYPE b [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
BODY = LIGHTROOM.partition("?>")[2].replace("Red", "&{};")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "empty"),
        (b"not xml", "not valid XML"),
        (DARKTABLE.encode()[:400], "not valid XML"),
        (b"<html><body/></html>", "no XMP description"),
        ((BOMB + BODY.format("i")).encode(), "document type|not valid XML"),
        ((SECRET + BODY.format("a")).encode(), "document type"),
        (b"\xff\xfe\x00<", "not valid XML"),
        (b"<a>" * 5000, "not valid XML"),
        (LIGHTROOM.replace("<xap:Rating>4", "<xap:Rating><b/>").encode(), "not a plain value"),
    ],
)
def test_a_sidecar_that_cannot_be_read_is_reported_and_left_as_it_is(
    sidecar: Path, content: bytes, complaint: str
) -> None:
    sidecar.write_bytes(content)
    with pytest.raises(SidecarError, match=complaint) as raised:
        write_sidecar(sidecar, Marks(4, keep=True), overwrite=True)
    assert str(sidecar) in str(raised.value)
    assert sidecar.read_bytes() == content


def test_a_sidecar_that_is_a_folder_is_reported(sidecar: Path) -> None:
    sidecar.mkdir()
    with pytest.raises(SidecarError, match="a folder"):
        write_sidecar(sidecar, Marks(4, keep=True))


def test_a_raw_file_has_the_sidecar_of_lightroom_and_that_of_darktable_if_it_exists(tmp_path: Path) -> None:
    raw, photo = tmp_path / "a.CR2", tmp_path / "a.JPG"
    assert sidecars_of(photo, [raw, tmp_path / "a.MOV"]) == [tmp_path / "a.JPG.xmp", tmp_path / "a.xmp"]
    (tmp_path / "a.CR2.xmp").touch()
    assert sidecars_of(raw, []) == [tmp_path / "a.xmp", tmp_path / "a.CR2.xmp"]

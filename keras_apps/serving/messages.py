"""The protocol's messages about models, their status and signatures: gRPC sends them, REST prints them as JSON."""

from __future__ import annotations

from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_pb2

from keras_apps.serving.catalog import Catalog, LoadedVersion

SIGNATURE_DEF = "signature_def"  # the one kind of metadata there is


def status_response(catalog: Catalog, model: str, version: int | None) -> get_model_status_pb2.GetModelStatusResponse:
    """The status of a model's versions.

    Raises:
        RequestError: NOT_FOUND if there is no such model or version.
    """
    response = get_model_status_pb2.GetModelStatusResponse()
    for status in catalog.status(model, version):
        entry = response.model_version_status.add(version=status.version, state=status.state)
        entry.status.error_code = status.code.value[0]
        entry.status.error_message = status.message
    return response


def metadata_response(
    catalog: Catalog, model: str, version: int | None
) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """The signatures of a model.

    Raises:
        RequestError: NOT_FOUND if there is no such model or version.
    """
    loaded = catalog.get(model, version)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in loaded.signature_defs.items():
        signatures.signature_def[name].CopyFrom(signature)
    response = get_model_metadata_pb2.GetModelMetadataResponse(model_spec=model_spec(loaded))
    response.metadata[SIGNATURE_DEF].Pack(signatures)
    return response


def signature_map(
    response: get_model_metadata_pb2.GetModelMetadataResponse,
) -> get_model_metadata_pb2.SignatureDefMap:
    """Unpacks the signatures from a metadata response."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata[SIGNATURE_DEF].Unpack(signatures)
    return signatures


def model_spec(loaded: LoadedVersion, signature_name: str = "") -> model_pb2.ModelSpec:
    """Which model and version an answer comes from."""
    spec = model_pb2.ModelSpec(name=loaded.model, signature_name=signature_name)
    spec.version.value = loaded.version
    return spec

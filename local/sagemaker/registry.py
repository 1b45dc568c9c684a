"""The model registry: groups, and the versioned packages in them."""

import threading
import time
from typing import Any

from local.sagemaker import listing, packages
from local.sagemaker.arns import Arns, is_arn
from local.sagemaker.errors import conflict, invalid
from local.sagemaker.events import Events
from local.sagemaker.resources import Resources, without_tags
from local.sagemaker.store import Document, Store
from local.sagemaker.tags import Tags, check_new_tags

GROUP = "model-package-group"
PACKAGE = "model-package"
_SEQUENCE = "model-package-version"
_TOKEN = "model-package-token"  # noqa: S105 (a kind of document, no secret)


class Registry:
    """The operations on model package groups and model packages."""

    def __init__(self, store: Store, arns: Arns, tags: Tags, events: Events) -> None:
        self._store = store
        self._arns = arns
        self._tags = tags
        self._events = events
        self._groups = Resources(
            store,
            arns,
            tags,
            kind=GROUP,
            noun="ModelPackageGroup",
            taken=lambda arn: invalid(f"Model Package Group already exists: {arn}"),
            missing=_no_group,
        )
        # Two calls with one ClientToken at the same time must find each other.
        self._creating = threading.Lock()

    def next_version(self, group: str) -> int:
        """Tell which version the next package of a group becomes; a version is never reused."""
        return int((self._store.get(_SEQUENCE, group) or {}).get("last", 0)) + 1

    def create_group(self, params: dict[str, Any], caller: str) -> dict[str, Any]:
        """Answer CreateModelPackageGroup."""
        members = {
            "CreatedBy": _created_by(caller),
            "ModelPackageGroupStatus": "Completed",
            **listing.summary(params, ("ModelPackageGroupDescription", "ManagedConfiguration")),
        }
        group = self._groups.create(params, members)
        return {"ModelPackageGroupArn": group["ModelPackageGroupArn"]}

    def describe_group(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer DescribeModelPackageGroup."""
        return self._group(params["ModelPackageGroupName"])

    def delete_group(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer DeleteModelPackageGroup; a group that holds packages stays."""
        group = self._group(params["ModelPackageGroupName"])
        name = group["ModelPackageGroupName"]
        if any(p.get("ModelPackageGroupName") == name for p in self._store.all(PACKAGE)):
            raise conflict(
                f"Model Package Group {group['ModelPackageGroupArn']} cannot be deleted as it "
                "still contains Model Packages."
            )
        self._groups.delete(name)
        self._store.delete(_SEQUENCE, name)
        return {}

    def list_groups(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer ListModelPackageGroups; nothing is shared between the accounts of a platform."""
        shared = params.get("CrossAccountFilterOption") == "CrossAccount"
        return self._groups.page(
            params,
            "ModelPackageGroupSummaryList",
            ("ModelPackageGroupDescription", "ModelPackageGroupStatus"),
            default_order="Ascending",
            only=lambda group: not shared,
        )

    def create_package(self, params: dict[str, Any], caller: str) -> dict[str, Any]:
        """Answer CreateModelPackage; the same ClientToken makes the same package once."""
        check_new_tags(params.get("Tags", []))
        token = params.pop("ClientToken", None)
        with self._creating:
            arn, fresh = self._create_package(params, token, caller)
        # Not under the lock: who hears of the package may register the next one.
        if fresh is not None:
            self._events.model_package(fresh)
        return {"ModelPackageArn": arn}

    def _create_package(
        self, params: dict[str, Any], token: str | None, caller: str
    ) -> tuple[str, Document | None]:
        """Make the package, or find the one that the token has made; its ARN, and what is new."""
        known = self._store.get(_TOKEN, token) if token else None
        if known:
            if known["params"] != params:
                raise conflict(
                    f"ClientToken {token} was used for a model package with other parameters."
                )
            return known["arn"], None
        document = self._package(params, caller)
        arn = document["ModelPackageArn"]
        if not self._store.add(PACKAGE, arn, document):
            raise conflict(f"Model package already exists: {arn}")
        if token:
            self._store.put(_TOKEN, token, {"params": params, "arn": arn})
        self._tags.start(arn, params.get("Tags", []))
        return arn, document

    def describe_package(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer DescribeModelPackage."""
        return self.package(params["ModelPackageName"])

    def update_package(self, params: dict[str, Any], caller: str) -> dict[str, Any]:
        """Answer UpdateModelPackage."""
        packages.check(params)

        def edit(document: Document) -> None:
            packages.change(document, params)
            document["LastModifiedTime"] = time.time()
            document["LastModifiedBy"] = _created_by(caller)

        arn = self.package(params["ModelPackageArn"])["ModelPackageArn"]
        changed = self._store.change(PACKAGE, arn, edit)
        if changed is None:
            raise _no_package(arn)
        self._events.model_package(changed)
        return {"ModelPackageArn": arn}

    def delete_package(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer DeleteModelPackage."""
        arn = self.package(params["ModelPackageName"])["ModelPackageArn"]
        self._store.delete(PACKAGE, arn)
        self._tags.end(arn)
        return {}

    def list_packages(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer ListModelPackages: of one group, or those that are in none."""
        group = params.get("ModelPackageGroupName")
        documents = self._store.all(PACKAGE)
        if group:
            # A group that there is not has no packages: that is no error.
            name = self._arns.name(GROUP, group)
            documents = [d for d in documents if d.get("ModelPackageGroupName") == name]
        else:
            kind = params.get("ModelPackageType", "Unversioned")
            if kind != "Both":
                versioned = kind == "Versioned"
                documents = [d for d in documents if ("ModelPackageVersion" in d) == versioned]
        found, more = listing.page(
            documents, params, name="ModelPackageName", late=("ModelApprovalStatus",)
        )
        members = (
            "ModelPackageGroupName",
            "ModelPackageVersion",
            "ModelPackageArn",
            "ModelPackageDescription",
            "CreationTime",
            "ModelPackageStatus",
            "ModelApprovalStatus",
            "ModelLifeCycle",
            "ModelPackageRegistrationType",
        )
        summaries = [listing.summary(package, members) for package in found]
        for package, shown in zip(found, summaries, strict=True):
            if "ModelPackageVersion" not in package:
                shown["ModelPackageName"] = package["ModelPackageName"]
        return {"ModelPackageSummaryList": summaries, **more}

    def package(self, arn_or_name: str) -> Document:
        """Find a package by its ARN, name, or GROUP/VERSION.

        Raises:
            ServiceError: when there is none.
        """
        arn = self._arns.resource(PACKAGE, arn_or_name)
        document = self._store.get(PACKAGE, arn)
        if document is None:
            raise _no_package(arn)
        return document

    def _group(self, arn_or_name: str) -> Document:
        name = self._arns.name(GROUP, arn_or_name)
        if name is None:
            raise _no_group(arn_or_name)
        return self._groups.get(name)

    def _package(self, params: dict[str, Any], caller: str) -> Document:
        group, name = params.get("ModelPackageGroupName"), params.get("ModelPackageName")
        if bool(group) == bool(name):
            raise invalid(
                "Exactly one of ModelPackageGroupName and ModelPackageName must be provided."
            )
        for unsupported in (
            "ValidationSpecification",
            "SourceAlgorithmSpecification",
            "CertifyForMarketplace",
        ):
            if params.get(unsupported):
                raise invalid(
                    f"The local platform does not validate model packages: leave {unsupported} out."
                )
        packages.check(params)
        document: Document = {
            **self._sourced(params.get("SourceUri", "")),
            **without_tags(params),
        }
        packages.check_specifications(document.get("AdditionalInferenceSpecifications", []))
        if group:
            stored = self._group(group)
            if "InferenceSpecification" not in params and "SourceUri" not in params:
                raise invalid("A versioned model package needs an InferenceSpecification.")
            document["ModelPackageGroupName"] = stored["ModelPackageGroupName"]
            document["ModelPackageVersion"] = self._take_version(stored["ModelPackageGroupName"])
            name = f"{stored['ModelPackageGroupName']}/{document['ModelPackageVersion']}"
            document.setdefault("ModelApprovalStatus", "PendingManualApproval")
            document["ModelPackageName"] = stored["ModelPackageGroupName"]
        now = time.time()
        return {
            **document,
            "ModelPackageArn": self._arns.of(PACKAGE, str(name)),
            "CreationTime": now,
            "LastModifiedTime": now,
            "CreatedBy": _created_by(caller),
            "CertifyForMarketplace": False,
            "ModelPackageStatus": "Completed",
            "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
        }

    def _sourced(self, source: str) -> Document:
        """What a package takes over from its source, where that is a package or a model."""
        if is_arn(source) and self._arns.name(PACKAGE, source) is not None:
            return packages.from_package(self.package(source))
        name = self._arns.name("model", source) if is_arn(source) else None
        if name is None:
            return {}
        model = self._store.get("model", name)
        if model is None:
            raise invalid(f'Could not find model "{source}".')
        primary = model.get("PrimaryContainer")
        containers = [*([primary] if primary else []), *model.get("Containers", [])]
        return packages.from_model(containers, self.package)

    def _take_version(self, group: str) -> int:
        self._store.add(_SEQUENCE, group, {"last": 0})

        def edit(document: Document) -> None:
            document["last"] += 1

        changed = self._store.change(_SEQUENCE, group, edit)
        return int((changed or {"last": 1})["last"])


def _created_by(caller: str) -> dict[str, Any]:
    return {"IamIdentity": {"Arn": caller}} if caller else {}


def _no_group(arn: str) -> Exception:
    return invalid(f"ModelPackageGroup {arn} does not exist.")


def _no_package(arn: str) -> Exception:
    return invalid(f"ModelPackage {arn} does not exist.")

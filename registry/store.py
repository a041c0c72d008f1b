"""Write access to the MLflow registry, embedded SQLite or a server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from enginehouse.registry import records
from enginehouse.registry.connection import registry_errors
from enginehouse.registry.labels import Label, check_first, check_free
from enginehouse.registry.lineage import lineage_tags, log_parameters
from enginehouse.registry.reader import RegistryReader
from enginehouse.registry.records import CHAMPION, PREVIOUS, VersionRecord

from enginehouse.bundle import Bundle
from enginehouse.errors import BundleError, ConflictError, RegistryError
from enginehouse.names import check_model_name

_ARTIFACT_PATH = "bundle"
_PERFORMANCE_PATH = "performance"


class Registry(RegistryReader):
    """Versions and aliases in MLflow."""

    def register(self, bundle: Bundle, name: str, label: str | None = None) -> VersionRecord:
        """Copy a bundle into the registry as the next version of `name`.

        The version is created last, after all files have arrived, because MLflow reports a version
        as ready without checking its source.

        Raises:
            NameRefusedError, BundleError: before anything is written.
            ConflictError: if another version has the label.
            RegistryError: if the label is invalid, or MLflow rejects the request or does not
                answer.
        """
        check_model_name(name)
        parsed = None if label is None else Label.parse(label)
        bundle.verify()
        if bundle.manifest.quality is None:
            raise BundleError(
                f"{bundle.path} carries no proof of its quality: it was built by an older "
                "version; build it again"
            )
        with registry_errors(self._uri):
            self._ensure_model(name)
            self._check_kind(bundle.manifest.kind, str(bundle.path), name)
            tags = lineage_tags(bundle)
            if parsed is not None:
                check_free(self, name, parsed)
            run = self._client.create_run(
                self._experiment(name), run_name=f"register {name}", tags=tags
            )
            run_id = run.info.run_id
            try:
                log_parameters(self._client, run_id, bundle.manifest)
                self._client.log_artifacts(run_id, str(bundle.path), _ARTIFACT_PATH)
                created = self._client.create_model_version(
                    self.registered_name(name),
                    source=f"{run.info.artifact_uri}/{_ARTIFACT_PATH}",
                    run_id=run_id,
                    tags=tags if parsed is None else {**tags, records.TAG_LABEL: parsed.text},
                    description=bundle.card,
                )
                if parsed is not None:
                    self._keep_if_first(name, parsed, int(created.version))
            except BaseException:
                self._client.set_terminated(run_id, "FAILED")
                raise
            self._client.set_terminated(run_id, "FINISHED")
            return self.version(name, int(created.version))

    def _keep_if_first(self, name: str, label: Label, version: int) -> None:
        """Delete a version if an earlier one was registered with its label at the same time."""
        try:
            check_first(self, name, label, version)
        except ConflictError:
            self._client.delete_model_version(self.registered_name(name), str(version))
            raise

    def adopt(
        self, name: str, source: VersionRecord, tags: Mapping[str, str], description: str
    ) -> VersionRecord:
        """Create a version of `name` with the artefacts of another version in this MLflow.

        Raises:
            BundleError: if `name` has versions of another kind.
            RegistryError: if MLflow refuses or does not answer.
        """
        check_model_name(name)
        with registry_errors(self._uri):
            self._ensure_model(name)
            kind = source.tags.get(records.TAG_KIND, "generator")
            self._check_kind(kind, f"{source.name} version {source.version}", name)
            created = self._client.create_model_version(
                self.registered_name(name),
                source=source.bundle,
                # A server accepts a source only together with the run that logged it.
                run_id=source.run_id,
                tags=dict(tags),
                description=description,
            )
            return self.version(name, int(created.version))

    def promote(self, name: str, version: int) -> int | None:
        """Make a version the champion; the current champion becomes `previous`.

        Returns:
            The champion before, or None.

        Raises:
            NotRegisteredError: if there is no such model or version.
            ConflictError: if the version is retired.
            RegistryError: if MLflow does not answer.
        """
        reason = self.version(name, version).retired
        if reason is not None:
            raise ConflictError(
                f"{name} version {version} is retired ({reason}); to use it all the same, take "
                f"that back with `enginehouse retire {name} {version} --undo`"
            )
        before = self.champion(name)
        if before is not None and before != version:
            self.set_alias(name, PREVIOUS, before)
        self.set_alias(name, CHAMPION, version)
        return before

    def set_model_tag(self, name: str, key: str, value: str) -> None:
        """Tag a registered model.

        Raises:
            RegistryError: if MLflow refuses or does not answer.
        """
        with self.session() as client:
            client.set_registered_model_tag(self.registered_name(name), key, value)

    def set_version_tag(self, name: str, version: int, key: str, value: str) -> None:
        """Tag a version.

        Raises:
            RegistryError: if MLflow refuses or does not answer.
        """
        with self.session() as client:
            client.set_model_version_tag(self.registered_name(name), str(version), key, value)

    def delete_version_tag(self, name: str, version: int, key: str) -> None:
        """Remove a tag from a version; does nothing if it is not set.

        Raises:
            RegistryError: if MLflow does not answer.
        """
        if key in self.version(name, version).tags:
            with self.session() as client:
                client.delete_model_version_tag(self.registered_name(name), str(version), key)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Point an alias at a version.

        Raises:
            RegistryError: if MLflow refuses or does not answer.
        """
        with self.session() as client:
            client.set_registered_model_alias(self.registered_name(name), alias, str(version))

    def delete_alias(self, name: str, alias: str) -> None:
        """Remove an alias.

        Raises:
            RegistryError: if MLflow refuses or does not answer.
        """
        with self.session() as client:
            client.delete_registered_model_alias(self.registered_name(name), alias)

    def log_performance(
        self, name: str, version: int, folder: Path, metrics: Mapping[str, float]
    ) -> None:
        """Store a performance report in the MLflow run that registered the version.

        Raises:
            NotRegisteredError: if there is no such version.
            RegistryError: if MLflow refuses or does not answer, or the version has no run.
        """
        run_id = self.version(name, version).run_id
        if run_id is None:
            raise RegistryError(
                f"{name} version {version} was registered without an MLflow run, so there is "
                "nowhere to log its performance"
            )
        with self.session() as client:
            client.log_artifacts(run_id, str(folder), f"{_PERFORMANCE_PATH}/{folder.name}")
            for key, value in metrics.items():
                client.log_metric(run_id, key, value)

    def experiment(self, title: str) -> str:
        """Id of the experiment `title`; creates it if needed.

        Raises:
            RegistryError: if MLflow refuses or does not answer.
        """
        with self.session():
            return self._experiment_titled(title)

    def _ensure_model(self, name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(self.registered_name(name))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _check_kind(self, kind: str, what: str, name: str) -> None:
        """Raise if the model has versions of another kind: one name serves one kind."""
        for record in self.versions(name):
            # Versions without the tag were registered before embedding models existed.
            registered = record.tags.get(records.TAG_KIND, "generator")
            if registered != kind:
                raise BundleError(
                    f"{what} is of kind {kind!r}, and version {record.version} of {name} "
                    f"is of kind {registered!r}: register it under a name of its own"
                )

    def _experiment(self, name: str) -> str:
        return self._experiment_titled(f"enginehouse/{self.registered_name(name)}")

    def _experiment_titled(self, title: str) -> str:
        existing = self._client.get_experiment_by_name(title)
        if existing is not None:
            return str(existing.experiment_id)
        # A server chooses the artefact location; embedded MLflow would use the working directory.
        location = (
            None if self._embedded_dir is None else (self._embedded_dir / "artifacts").as_uri()
        )
        return str(self._client.create_experiment(title, artifact_location=location))

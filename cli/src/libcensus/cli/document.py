"""The JSON of this command: the agent's documented object of a scan with what was derived of it, and answers.

Times are RFC 3339 in UTC; a day is its first moment. The keys are kept (docs/verdicts-json.md, docs/portability.md).
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from libcensus.agent.document import scan_document
from libcensus.collector.posture.reach import floors, policy_reach

if TYPE_CHECKING:
    from datetime import date, datetime

    from libcensus.cli.answers import Answer
    from libcensus.cli.assessed import Assessed
    from libcensus.collector.posture.finding import Acceptance, Clocks, EndOfLife, Finding, Subject
    from libcensus.collector.posture.quirks import Quirk
    from libcensus.collector.posture.staleness import Staleness
    from libcensus.collector.posture.verdict import Reason
    from libcensus.collector.service.fleet_codec import HostSummary, LabelledHost
    from libcensus.collector.service.portability_codec import LibcAnswer, Matrix
    from libcensus.collector.service.posture_codec import AcceptedRisk, PostureAnswer
    from libcensus.collector.service.providers_codec import ProvidersAnswer
    from libcensus.facts.evidence import Evidence


def verdicts_schema() -> dict[str, Any]:
    """Return the JSON Schema of the keys that this command adds to the agent's object."""
    schema: dict[str, Any] = json.loads(files("libcensus.cli").joinpath("verdicts.schema.json").read_text("utf-8"))
    return schema


def portability_schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schemas of ``check``, ``fleet glibc`` and ``fleet matrix``, by these names."""
    text = files("libcensus.cli").joinpath("portability.schema.json").read_text("utf-8")
    schemas: dict[str, dict[str, Any]] = json.loads(text)
    return schemas


def _day(day: date | None) -> str | None:
    return None if day is None else f"{day.isoformat()}T00:00:00Z"


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _subject(subject: Subject) -> dict[str, object]:
    return {"kind": subject.kind.value, "root": subject.root, "path": subject.path}


def _evidence(evidence: Evidence) -> dict[str, object]:
    return {
        "subject": evidence.subject,
        "kind": evidence.kind.value,
        "file": evidence.file,
        "detail": evidence.detail,
        "offset": evidence.offset,
    }


def _clocks(clocks: Clocks | None) -> dict[str, object] | None:
    if clocks is None:
        return None
    return {
        "published": _day(clocks.published),
        "released": _day(clocks.released),
        "built": _day(clocks.built),
        "installable": _day(clocks.installable),
    }


def acceptance_object(accepted: Acceptance) -> dict[str, object]:
    """Return the statement that covers a finding as JSON has it."""
    return {
        "statement": accepted.statement,
        "document": accepted.document,
        "by": accepted.author,
        "status": accepted.status.value,
        "justification": accepted.justification,
        "reason": accepted.reason,
        "expires": _day(accepted.expires),
    }


def _risk_object(risk: AcceptedRisk) -> dict[str, object]:
    return {
        "statement": risk.statement,
        "document": risk.document,
        "by": risk.author,
        "advisories": list(risk.advisories),
        "status": risk.status.value,
        "justification": risk.justification,
        "reason": risk.reason,
        "about": list(risk.scopes),
        "since": _day(risk.since),
        "expires": _day(risk.expires),
        "state": risk.state.value,
        "findings": risk.findings,
        "hosts": risk.hosts,
        "note": risk.note or None,
    }


def finding_object(finding: Finding) -> dict[str, object]:
    """Return one finding as JSON has it."""
    return {
        "subject": _subject(finding.subject),
        "component": finding.component.value,
        "linkage": None if finding.linkage is None else finding.linkage.value,
        "reach": None if finding.reach is None else finding.reach.value,
        "advisory": finding.advisory,
        "severity": finding.severity.value,
        "status": finding.status.value,
        "fixed_in": finding.fixed_in,
        "fix_available": _day(finding.fix_available),
        "clocks": _clocks(finding.clocks),
        "remedy": finding.remedy,
        "accepted": None if finding.accepted is None else acceptance_object(finding.accepted),
        "evidence": [_evidence(item) for item in finding.evidence],
    }


def end_of_life_object(end: EndOfLife) -> dict[str, object]:
    """Return the support of one branch as JSON has it."""
    return {
        "subject": _subject(end.subject),
        "component": end.component.value,
        "branch": end.branch,
        "state": end.state.value,
        "date": _day(end.date),
        "distribution_until": _day(end.distribution_until),
        "evidence": [_evidence(item) for item in end.evidence],
    }


def staleness_object(one: Staleness) -> dict[str, object]:
    """Return one thing that is behind what it could be as JSON has it."""
    return {
        "subject": {"kind": one.subject.kind.value, "root": one.subject.root, "path": one.subject.path},
        "kind": one.kind.value,
        "state": one.state.value,
        "has": one.has,
        "newest": one.newest,
        "since": _day(one.since),
        "remedy": one.remedy,
        "concerns": [_subject(subject) for subject in one.concerns],
        "evidence": [_evidence(item) for item in one.evidence],
    }


def quirk_object(subject: Subject, quirk: Quirk) -> dict[str, object]:
    """Return one known behaviour of one install as JSON has it."""
    return {
        "subject": _subject(subject),
        "quirk": quirk.id,
        "title": quirk.title,
        "means": quirk.means,
        "advice": quirk.advice,
        "source": quirk.source,
    }


def assessed_object(assessed: Assessed) -> dict[str, object]:
    """Return a scan with its verdicts: the agent's object with everything that was derived."""
    return {
        **scan_document(assessed.scan),
        "findings": [finding_object(finding) for finding in assessed.findings],
        "end_of_life": [end_of_life_object(end) for end in assessed.end_of_life],
        "verdicts": [
            {
                "build": build,
                "root": root,
                "verdict": verdict.state.value,
                "reasons": list(verdict.reasons),
                "degraded": list(verdict.degraded),
            }
            for (root, build), verdict in sorted(assessed.verdicts.items(), key=lambda item: item[0][::-1])
        ],
        "staleness": [staleness_object(one) for one in assessed.staleness],
        "quirks": [
            quirk_object(subject, quirk)
            for subject, quirk in sorted(
                ((subject, seen.quirk) for seen in assessed.quirks for subject in seen.subjects),
                key=lambda item: item[0],
            )
        ],
    }


def summary_object(host: HostSummary) -> dict[str, object]:
    """Return one host of the list as JSON has it."""
    return {
        "host_id": host.host_id,
        "name": host.name,
        "os_id": host.os_id,
        "os_version": host.os_version,
        "arch": host.arch,
        "libc": {"family": host.libc_family, "version": host.libc_version},
        "installs": host.installs,
        "labels": dict(host.labels),
        "affected": host.affected,
        "accepted": host.accepted,
        "under_investigation": host.under_investigation,
        "worst_severity": None if host.worst_severity is None else host.worst_severity.value,
        "failed_probes": host.failed_probes,
        "outdated_processes": host.outdated_processes,
        "first_report": _moment(host.first_report),
        "last_report": _moment(host.last_report),
        "agent_version": host.agent_version,
        "waiting_reports": None if host.agent_state is None else host.agent_state.waiting_reports,
        "dropped_reports": None if host.agent_state is None else host.agent_state.dropped_reports,
        "dropped_facts": None if host.agent_state is None else host.agent_state.dropped_facts,
    }


def labelled_object(host: LabelledHost) -> dict[str, object]:
    """Return a host whose labels were changed as JSON has it."""
    return {"host_id": host.host_id, "name": host.name, "labels": dict(host.labels)}


def reason_object(reason: Reason) -> dict[str, object]:
    """Return one obstacle as JSON has it."""
    return {
        "kind": reason.kind.value,
        "library": reason.library,
        "needs": reason.needs,
        "has": reason.has,
        "file": reason.file,
        "symbol": reason.symbol,
        "remedy": reason.remedy,
        "known": reason.known,
    }


def degraded_object(reason: Reason) -> dict[str, object]:
    """Return one obstacle of a module as JSON has it."""
    return {**reason_object(reason), "module": reason.module}


def answer_object(answer: Answer) -> dict[str, object]:
    """Return one artefact on one place as JSON has it."""
    return {
        "artefact": answer.artefact.name,
        "kind": answer.artefact.kind.value,
        "against": answer.against,
        "place": answer.place.value,
        "arch": answer.arch,
        "platform": answer.platform,
        "hosts": answer.hosts,
        "examples": list(answer.examples),
        "pythons": list(answer.pythons),
        "verdict": answer.verdict.state.value,
        "coarse": answer.is_coarse,
        "degraded": [degraded_object(reason) for reason in answer.verdict.degraded],
        "reasons": [reason_object(reason) for reason in answer.verdict.reasons],
    }


def libcs_object(answer: LibcAnswer) -> dict[str, object]:
    """Return the C libraries of a fleet, and what tags reach in it, as JSON has them."""
    return {
        "libcs": [
            {
                "arch": one.arch,
                "family": one.family,
                "version": one.version,
                "hosts": one.hosts,
                "examples": list(one.examples),
            }
            for one in answer.libcs
        ],
        "floors": [
            {"arch": one.arch, "glibc": one.version, "hosts": one.hosts, "total": one.total}
            for one in floors(answer.libcs)
        ],
        "tags": [
            {
                "tag": one.tag,
                "arch": one.arch,
                "hosts": one.hosts,
                "total": one.total,
                "share": one.hosts / one.total if one.total else 0.0,
                "lost": [{"family": loss.family, "version": loss.version, "hosts": loss.hosts} for loss in one.lost],
            }
            for one in policy_reach(answer.libcs)
        ],
        "unreadable_hosts": answer.unreadable_hosts,
    }


def matrix_object(matrix: Matrix) -> dict[str, object]:
    """Return builds on platforms as JSON has them; a cell names both by their addresses."""
    return {
        "builds": [
            {
                "build": build.digest,
                "implementation": build.implementation,
                "version": build.version,
                "provider": build.provider,
                "provider_build": build.provider_build,
                "arch": build.arch,
                "flags": list(build.flags),
                "glibc": build.glibc,
                "hosts": build.hosts,
            }
            for build in matrix.builds
        ],
        "platforms": [
            {
                "platform": platform.platform,
                "label": platform.label,
                "arch": platform.arch,
                "libc": {"family": platform.libc_family, "version": platform.libc_version},
                "hosts": platform.hosts,
                "examples": list(platform.examples),
            }
            for platform in matrix.platforms
        ],
        "cells": [
            {
                "build": build.digest,
                "platform": platform.platform,
                "hosts": platform.hosts,
                "verdict": verdict.state.value,
                "reasons": [reason_object(reason) for reason in verdict.reasons],
                "degraded": [degraded_object(reason) for reason in verdict.degraded],
            }
            for build, verdicts in zip(matrix.builds, matrix.verdicts, strict=True)
            for platform, verdict in zip(matrix.platforms, verdicts, strict=True)
        ],
        "unreadable_hosts": matrix.unreadable_hosts,
    }


def posture_object(answer: PostureAnswer) -> dict[str, object]:
    """Return the fleet's findings, counted, as JSON has them."""
    return {
        "day": _day(answer.day),
        "advisories_day": _day(answer.advisories_day),
        "hosts": answer.hosts,
        "affected_hosts": answer.affected_hosts,
        "exposed_hosts": answer.exposed_hosts,
        "under_investigation_hosts": answer.under_investigation_hosts,
        "unreadable_hosts": answer.unreadable_hosts,
        "counts": [
            {
                "component": one.component.value,
                "severity": one.severity.value,
                "status": one.status.value,
                "findings": one.findings,
                "hosts": one.hosts,
                "accepted": one.accepted,
            }
            for one in answer.counts
        ],
        "providers": [
            {
                "provider": one.provider,
                "status": one.status.value,
                "findings": one.findings,
                "hosts": one.hosts,
                "accepted": one.accepted,
            }
            for one in answer.providers
        ],
        "advisories": [
            {
                "advisory": one.advisory,
                "component": one.component.value,
                "severity": one.severity.value,
                "published": _day(one.published),
                "affected": one.affected,
                "affected_hosts": one.affected_hosts,
                "under_investigation": one.under_investigation,
                "under_investigation_hosts": one.under_investigation_hosts,
                "fixed_hosts": one.fixed_hosts,
                "not_affected_hosts": one.not_affected_hosts,
                "exposed_hosts": one.exposed_hosts,
                "accepted": one.accepted,
                "accepted_until": _day(one.accepted_until),
            }
            for one in answer.advisories
        ],
        "remedies": [
            {
                "remedy": one.remedy or None,
                "findings": one.findings,
                "hosts": one.hosts,
                "examples": list(one.examples),
            }
            for one in answer.remedies
        ],
        "remedies_total": answer.remedies_total,
        "worst_hosts": [
            {
                "host_id": one.host_id,
                "name": one.name,
                "affected": {severity.value: number for severity, number in one.affected},
                "under_investigation": one.under_investigation,
                "exposed": one.exposed,
                "accepted": one.accepted,
            }
            for one in answer.worst_hosts
        ],
        "open_hosts": answer.open_hosts,
        "staleness": [
            {
                "kind": one.kind.value,
                "provider": one.provider,
                "stale": one.stale,
                "stale_hosts": one.stale_hosts,
                "unknown": one.unknown,
                "unknown_hosts": one.unknown_hosts,
                "current": one.current,
            }
            for one in answer.staleness
        ],
        "accepted": answer.accepted,
        "accepted_hosts": answer.accepted_hosts,
        "accepted_risks": [_risk_object(one) for one in answer.accepted_risks],
        "affected": [
            {
                "component": one.component.value,
                "severity": one.severity.value,
                "provider": one.provider,
                "linkage": None if one.linkage is None else one.linkage.value,
                "upgrade": one.upgrade.value,
                "findings": one.findings,
                "hosts": one.hosts,
                "accepted": one.accepted,
            }
            for one in answer.affected
        ],
        "support": [
            {
                "component": one.component.value,
                "branch": one.branch,
                "state": one.state.value,
                "until": _day(one.until),
                "distribution": one.distribution,
                "places": one.places,
                "hosts": one.hosts,
            }
            for one in answer.support
        ],
        "installs": [
            {
                "implementation": one.implementation,
                "version": one.version,
                "provider": one.provider,
                "provider_build": one.provider_build,
                "linkage": one.linkage.value,
                "crypto_family": one.crypto_family,
                "crypto_version": one.crypto_version,
                "installs": one.installs,
                "hosts": one.hosts,
            }
            for one in answer.installs
        ],
        "ended_places": answer.ended_places,
        "ended_hosts": answer.ended_hosts,
    }


def providers_object(answer: ProvidersAnswer) -> dict[str, object]:
    """Return how long fixes took, as JSON has it."""
    return {
        "day": _day(answer.day),
        "advisories_day": _day(answer.advisories_day),
        "hosts": answer.hosts,
        "watched_since": _day(answer.watched_since),
        "patching": [
            {
                "provider": one.provider,
                "component": one.component.value,
                "severity": one.severity.value,
                "measured": one.measured,
                "seconds": one.seconds,
                "median_days": one.median_days,
                "p90_days": one.p90_days,
                "within": [
                    {"days": share.days, "patched": share.patched, "total": share.total} for share in one.within
                ],
                "unmeasured": one.unmeasured,
                "undated": one.undated,
                "removed": one.removed,
                "open": one.open,
                "unfixed": one.unfixed,
                "oldest_open": _day(one.oldest_open),
            }
            for one in answer.patching
        ],
        "lags": [
            {
                "channel": one.channel,
                "component": one.component.value,
                "fixes": one.fixes,
                "median_days": one.median,
                "p90_days": one.p90,
                "longest_days": one.longest,
            }
            for one in answer.lags
        ],
        "speeds": [
            {
                "machine": one.machine,
                "workload": one.workload,
                "build": one.build,
                "implementation": one.implementation,
                "version": one.version,
                "provider": one.provider,
                "baseline_provider": one.baseline_provider,
                "baseline_version": one.baseline_version,
                "ratio": one.speed.ratio,
                "lower": one.speed.lower,
                "upper": one.speed.upper,
                "verdict": one.speed.verdict.value,
                "measured_at": _moment(one.measured_at),
            }
            for one in answer.speeds
        ],
    }

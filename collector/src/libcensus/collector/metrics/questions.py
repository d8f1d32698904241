"""Questions that people ask of the metrics, with the PromQL that answers them; a test asks a real Prometheus each."""

from __future__ import annotations

from typing import NamedTuple


class Question(NamedTuple):
    """What somebody wants to know, and how Prometheus is asked; ``is_shown_first`` for the few that a demo shows."""

    text: str
    query: str
    is_shown_first: bool = False


QUESTIONS: tuple[Question, ...] = (
    Question(
        "Which OpenSSL is really used, and how is it linked?",
        "sum by (family, version, linkage) (libcensus_crypto_installs)",
        is_shown_first=True,
    ),
    Question(
        "Which installs are affected, and what would have to be updated?",
        'libcensus_install_findings{status="affected"} * on (job, host, root, path) '
        "group_left (version, provider, installer, linkage, package) libcensus_install_info > 0",
    ),
    Question(
        "What is affected, per interpreter?",
        'sum by (path, component, severity) (libcensus_install_findings{status="affected"}) > 0',
        is_shown_first=True,
    ),
    Question(
        "How many days of support are left?",
        "sort((libcensus_install_eol_timestamp_seconds - time()) / 86400)",
        is_shown_first=True,
    ),
    Question(
        "What share of the hosts does each manylinux and musllinux policy reach?",
        "sum by (policy) (libcensus_manylinux_hosts) / scalar(sum(libcensus_hosts))",
    ),
    Question(
        "Which builds in use would not start on part of the fleet, and why?",
        'sum by (implementation, version, provider, reason) (libcensus_build_hosts{verdict="blocked"}) > 0',
    ),
    Question(
        "For how many days could the oldest open fix of each host have been installed?",
        "max by (host) ((time() - libcensus_host_exposed_since_timestamp_seconds) / 86400)",
    ),
    Question(
        "How many installs are not their provider's newest build of their branch?",
        'sum by (provider, implementation, branch) (libcensus_branch_installs{state="stale"})',
    ),
    Question(
        "How long have hosts been silent, in hours?",
        "(time() - libcensus_host_last_report_timestamp_seconds) / 3600",
    ),
    Question(
        "How old are the advisories, in days?",
        "(time() - libcensus_advisories_timestamp_seconds) / 86400",
    ),
)

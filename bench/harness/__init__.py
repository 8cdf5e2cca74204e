# SPDX-License-Identifier: MIT
"""The comparison harness: what bench/compare, bench/report and bench/ab are made of.

    isolate      namespaces that end with us, limits of their TCP
    meter        CPU time, memory and system calls of other processes
    setups       the ways in which a client reaches the server, one class for each
    machines     those of them that are virtual machines
    workloads    what the client does, and which figures come out of it
    session      the run: starts, warm-up, interleaved samples, progress
    environment  what machine it was
    result       the JSON between a run and its report
    stats        medians, permutation tests, the noise floor
    verdict      two results, or two set-ups of one, figure by figure
    tables       Markdown
    plots        SVG, by gnuplot

Python's standard library only.
"""

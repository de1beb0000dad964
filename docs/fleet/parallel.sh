#!/bin/sh
# GNU parallel: parts of a run on the machines in the file `hosts`, a line for each as `--sshlogin`
# wants it, such as 4/build1 for four parts at the same time. The options after the number of parts
# are those of `maskmatch lab`:
#     sh parallel.sh 8 --profile standard
# This folder must be one that all machines share. Called again, it runs what was killed.
parts=$1
shift
exec parallel --quote --sshloginfile hosts --workdir . --joblog parts.log --resume-failed \
    maskmatch lab --jobs 1 --partition "hash:{}/$parts" --results results --resume "$@" \
    ::: $(seq "$parts")

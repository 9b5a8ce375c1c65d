#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tool's completion for fish.
#
# needs: fish (fish)
set -e
. ./cli_helpers.sh

# Prints what is offered for each line that it reads, without descriptions, then a dot.
cat >"$work/fish" <<'END'
source ../userspace/completions/mstore.fish
while read -l line
    complete -C $line | string replace -r '\t.*' '' | sort
    echo .
end
END

export XDG_CONFIG_HOME=$work XDG_DATA_HOME=$work
. ./cli_completion_cases.sh
start_shell fish --no-config "$work/fish"

test_commands_to_run()
{
	mstore set timeout/key 1
	offers 'mstore lock timeou' timeout/key
	offers 'mstore lock k -- timeou' timeout
	offers 'mstore private timeou' timeout
	offers 'mstore private -- timeou' timeout
	offers 'mstore private --buckets 3 timeou' timeout
	offers 'mstore private --buckets timeou'
	offers 'mstore private --max-k' --max-keys
	offers 'mstore lock k -- cat ./cli_hel' ./cli_helpers.sh
	offers 'mstore set k -- timeou'
}

run_tests

# SPDX-License-Identifier: GPL-2.0
#
# fish completion for mstore(1). It offers the keys that the store has now.

# The words that can follow command $argv, or the tool itself, one per line: options, with
# = after those that take a value, and the commands.
function __mstore_ask
    set -l name __mstore_said_(string replace -a -r '\W' _ -- "$argv[1]")
    set -q $name; or set -g $name (mstore --complete $argv[1] 2>/dev/null)
    string join -- \n $$name
end

# Does command $argv[1] run another command after $argv[2] operands and --?
function __mstore_runs
    switch "$argv[1]"
        case update hold lock
            test $argv[2] -gt 0
        case private
            test $argv[2] -eq 0
        case '*'
            return 1
    end
end

# The keys that start with $argv[1], at most 1000. A tab or a newline would end a word.
function __mstore_keys -S
    set -l from
    test -n "$store"; and set from --store $store
    mstore ls -0 $from -- $argv[1] 2>/dev/null | head -zn 1000 | string split0 |
        string match -v -r '[\t\n]'
end

# Is the operand after $operands others a key, or a prefix of keys?
function __mstore_wants_key -S
    switch "$command"
        case get del dump flush ls monitor stat sub touch
            return 0
        case bucket hold incr load lock pub set subs update wait
            test $operands -eq 0
        case '*'
            return 1
    end
end

# Sets the caller's command, number of operands before the cursor, place of the first word
# of a command to run, option whose value is at the cursor, and store.
function __mstore_parse -S
    set -l i 2
    while test $i -le (count $words)
        set -l word $words[$i]
        if test "$word" = --; and __mstore_runs "$command" $operands
            set run (math $i + 1)
            return
        else if test $operands -gt 0
            set operands (math $operands + 1)
        else if test "$word" = --
            set operands_only yes
        else if string match -q -- '-*' $word; and test -z "$operands_only"
            string match -q -- '--store=*' $word
            and set store (string replace -- --store= '' $word)
            if contains -- "$word=" (__mstore_ask $command)
                test $i -lt (count $words); or set option $word
                test "$word" = --store; and set store $words[(math $i + 1)]
                set i (math $i + 1)
            end
        else if test -z "$command"
            set command $word
        else if test "$command" = private
            set run $i
            return
        else
            set operands 1
        end
        set i (math $i + 1)
    end
    # Its command needs no -- in front.
    if test "$command" = private; and not string match -q -- '-*' $current
        set run $i
    end
end

function __mstore_complete
    set -l words (commandline -opc)
    set -l current (string unescape -- (commandline -ct); or commandline -ct)
    set -l command
    set -l operands 0
    set -l run
    set -l option
    set -l store
    set -l operands_only
    __mstore_parse
    switch "$option"
        case --file --store
            __fish_complete_path "$current"
        case --signal
            for name in (kill -l | string split ' ')
                echo SIG(string replace -r '^SIG' '' -- $name)
            end
        case --except
            __mstore_keys "$current"
        case '?*'
        case ''
            if test -n "$run"
                complete -C (string join ' ' -- (string escape -- $words[$run..]) (commandline -ct))
            else if string match -q -- '-*' "$current"; and test -z "$operands_only" -a $operands -eq 0
                __mstore_ask $command | string match -- '-*' | string replace -r '=$' ''
            else if test -z "$command"; or test "$command" = help -a $operands -eq 0
                __mstore_ask | string match -v -- '-*'
            else if __mstore_wants_key
                __mstore_keys "$current"
            end
    end
end

complete -c mstore -f -a '(__mstore_complete)'

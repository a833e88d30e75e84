#!/usr/bin/awk -f
# SPDX-License-Identifier: GPL-2.0-only
# usage: ktap.awk LOG
# Prints the results of KUnit suites in a kernel's log as flat TAP: a test for
# each case, or for each parameter of a case, what a failed one had to say
# behind it; and whether the suites came to their end, and the kernel complained
# of nothing from their start on. Exits with 1 if a test failed.

function report(ok, name, note) {
	print (ok ? "ok " : "not ok ") ++number " - " name note
	if (!ok) {
		failed = 1
		for (i = 0; i < said; i++)
			print "# " text[i]
	}
	said = 0
}

{
	sub(/\r$/, "")
	sub(/^\[ *[0-9]+\.[0-9]+\](\[ *[CT][0-9]+\])? /, "")
}

/^ *(KTAP version 1|TAP version 14)$/ { inside = 1; next }

!inside { next }

/WARNING: |BUG: |UBSAN: |KASAN: |unreferenced object|INFO: (possible|task|rcu|trying)|suspicious RCU|Kernel panic|Oops/ {
	complaint[complaints++] = $0
}

/^ *# Subtest: / {
	indent = match($0, /#/) - 1
	name = $0
	sub(/^ *# Subtest: /, "", name)
	if (indent == 4)
		suite = name
	else if (indent == 8)
		parent = name
	next
}

/^    1\.\.[0-9]+$/ { sub(/.*\.\./, ""); planned = $0; cases = 0; next }
/^ *1\.\.[0-9]+$/ { next }

/^ *(not )?ok [0-9]+/ {
	indent = match($0, /[on]/) - 1
	ok = substr($0, indent + 1, 2) == "ok"
	name = $0
	sub(/^ *(not )?ok [0-9]+ (- )?/, "", name)
	note = ""
	if (match(name, / *# SKIP.*/)) {
		note = " " substr(name, RSTART + 1)
		name = substr(name, 1, RSTART - 1)
	}
	sub(/ *#.*/, "", name)

	if (indent == 8) {
		children++
		bad_children += !ok
		report(ok, suite ": " parent ": " name, note)
	} else if (indent == 4) {
		cases++
		bad_cases += !ok
		if (!children || (!ok && !bad_children))
			report(ok, suite ": " name, note)
		children = bad_children = said = 0
	} else if (indent == 0) {
		suites++
		if (cases != planned || (!ok && !bad_cases))
			report(0, suite ": " cases " of " planned " cases ran", "")
		bad_cases = said = 0
		suite = ""
	}
	next
}

# Comments about results passed on are not about the next test.
/^ *# .*(pass:|Totals:|speed: |module: )/ { next }
suite { if (said < 40) text[said++] = $0 }

END {
	report(suites && !suite, "the suites came to their end", "")
	for (said = 0; said < complaints && said < 40; said++)
		text[said] = complaint[said]
	report(!complaints, "the kernel complains of nothing", "")
	print "1.." number
	exit failed
}

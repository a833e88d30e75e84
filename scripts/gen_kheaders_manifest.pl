#!/usr/bin/env perl
# SPDX-License-Identifier: GPL-2.0-only
#
# Say what the kernel's archive of headers consists of, and in which block of it
# each file goes.
#
# usage: gen_kheaders_manifest.pl NAMES BLOCKS DIR [PROGRAM...]
#
# NAMES comes from gen_kheaders_names.pl.
#ifdef KHEADERS_WITH_EXTMOD
# PROGRAM... are those of the objtree that a build of modules runs.
#endif
# Into DIR go
#
#	made/...	what is made here rather than read from a tree:
#			compile_flags.txt and what it names, programs without
#			their symbols
#	N.list		for each N of 1 to BLOCKS a line "mtime SECONDS", the links
#			of NAMES, as one pointed to an older file would be news to
#			nobody, and the members of block N as strip_headers --tar
#			reads them; left alone if they are the same
#	.manifest.d	for make: the headers that N.headers depends on
#
# and to standard output all lists in one.
#
# Members are sorted by path, a directory before what is in it. A block gets as
# many bytes as each other, comments not counted, so that all take the same time.
# Whole files count, so few edits move a file from one block to another.

use strict;
use warnings;

my ($names, $blocks, $dir) = splice @ARGV, 0, 3;
#ifdef KHEADERS_WITH_EXTMOD
my @programs = @ARGV;
#endif
my $srctree = $ENV{srctree} // '.';
my $start = (stat STDOUT)[9];	# by the clock of the objtree's file system

my ($mtime, @flags, @defines, @include_path, @links);
my %origin;	# path => 'src', 'obj', with a = if it is no header, or 'made'
my %candidate;	# path => 'src' or 'obj': goes in if a header includes it
my %bytes;	# path => what it takes in the archive

sub fail
{
	unlink "$dir/.tmp_scan";
	die "gen_kheaders_manifest: @_\n";
}

sub read_names
{
	open my $file, '<', $names or fail("$names: $!");
	while (<$file>) {
		chomp;
		if (/^((?:src|obj)=?) (.*)/) {
			$origin{$2} = $1;
		} elsif (/^(src|obj)\? (.*)/) {
			$candidate{$2} = $1;
		} elsif (/^flag (.*)/) {
			push @flags, $1;
		} elsif (/^define (.*)/) {
			push @defines, $1;
		} elsif (/^link /) {
			push @links, $_;
		} elsif (/^mtime (.*)/) {
			$mtime = $1;
		} elsif (/^warning (.*)/) {
			print STDERR "gen_kheaders: warning: $1\n";
		}
	}
	@include_path = map { /^-(?:I|isystem|idirafter|iquote)(.*)/ } @flags;
}

# Writes $text to $path, at once and only if that holds something else; before,
# what is @outdated then goes. Returns whether it has written.
sub update
{
	my ($path, $text, @outdated) = @_;

	return 0 if -e $path && slurp($path) eq $text;
	unlink @outdated;
	(my $tmp = $path) =~ s{([^/]*)$}{.tmp_$1};
	open my $new, '>:raw', $tmp or fail("$tmp: $!");
	unless ((print $new $text) && close $new && rename $tmp, $path) {
		my $why = $!;
		unlink $tmp;
		fail("$path: $why");
	}
	return 1;
}

# Make $text a member of the archive. When it changes, all lists go: that is what
# make looks at after this step, and it has each block made again.
sub make_file
{
	my ($path, $text) = @_;

	for my $parent (parents("$dir/made/$path")) {
		-d $parent || mkdir $parent or fail("$parent: $!");
	}
	update("$dir/made/$path", $text, glob "$dir/*.list");
	$origin{$path} = 'made';
}

# The directories that a path lies in, the outermost first, with their slash.
sub parents
{
	my ($path) = @_;
	my @parents;

	push @parents, substr $path, 0, pos $path while $path =~ m{/}g;
	return @parents;
}

# Which machine to compile for: clang has been told, gcc is made for one.
sub target
{
	return () if !$ENV{CC} || grep { /^--target=/ } @flags;
	chomp(my $machine = `$ENV{CC} -dumpmachine` // '');
	return $machine =~ /^[\w.-]+$/ ? "--target=$machine" : ();
}

# Flags as clang, clangd and gcc take them. gcc knows no --target; this specs
# file has it drop that, and clang has no use for -specs.
sub make_compile_flags
{
	my $specs = 'include/generated/compile_flags.specs';
	my $header = 'include/generated/compile_flags.h';

	make_file($specs, "*cpp_unique_options:\n+ %<-target*\n\n");
	make_file($header, join '', (map { s/=/ /; "#define $_\n" } @defines),
		  "#ifndef KBUILD_MODNAME\n#define KBUILD_MODNAME \"kheaders\"\n#endif\n");
	make_file('compile_flags.txt', join '', map { "$_\n" }
		  target(), "-specs=$specs", '-Wno-unused-command-line-argument',
		  '-include', $header, @flags);
}

sub slurp
{
	my ($path) = @_;

	open my $file, '<:raw', $path or fail("$path: $!");
	local $/;
	return readline($file) // '';
}

#ifdef KHEADERS_WITH_EXTMOD
# Whether the machine that builds this kernel can run what it is built of: the
# heads of programs for both, e_ident and e_machine, are the same.
sub is_native
{
	my @heads = map { substr(slurp($_), 4, 2) . substr(slurp($_), 18, 2) }
		'scripts/basic/fixdep', 'scripts/mod/empty.o';

	return $heads[0] eq $heads[1];
}

# Programs as they are, if the kernel's machine can run them; otherwise what that
# needs to build them, see gen_kheaders_programs.mk.
sub make_programs
{
	if (is_native()) {
		for my $program (@programs) {
			my $stripped = "$dir/.tmp_program";
			my @strip = split ' ', $ENV{STRIP} // 'strip';

			# A build ID comes from debug information, with its paths.
			system(@strip, '-s', '-R', '.note.gnu.build-id', '-o', $stripped,
			       $program) == 0
				or fail("$program: cannot be stripped: see above");
			make_file($program, slurp($stripped));
			unlink $stripped;
		}
		return;
	}
	my %wanted = map { $_ => 1 } @programs;
	my @dirs = ('scripts/mod', 'scripts/include',
		    $wanted{'scripts/genksyms/genksyms'} ? 'scripts/genksyms' : ());

	$origin{'scripts/basic/fixdep.c'} = 'src=';
	$origin{'scripts/asn1_compiler.c'} = 'src=' if $wanted{'scripts/asn1_compiler'};
	for my $in (@dirs) {
		for my $tree ($srctree, '.') {
			opendir my $handle, "$tree/$in" or next;
			for my $name (grep { /\.[ch]$/ && !/\.mod\.c$/ } readdir $handle) {
				$origin{"$in/$name"} //= $tree eq $srctree ? 'src=' : 'obj=';
			}
		}
	}
	for my $program (@programs) {
		print STDERR "gen_kheaders: warning: $program: made for another machine than " .
			"the kernel's, and not rebuilt there: module builds will miss it\n"
			if $program =~ m{^tools/objtool/|^scripts/(?:gendwarfksyms|gcc-plugins)/};
	}
}

#endif
# Has these files read, for their size and what they include: a list of
# [header, name with its quotes].
sub scan
{
	my @paths = @_;
	my $list = "$dir/.tmp_scan";
	my (@names, @includes);

	update($list, join '', map { "$origin{$_} $_\n" } @paths);
	open my $scan, '-|', 'sh', '-c', 'exec scripts/strip_headers --scan "$0" "$1" <"$2"',
		"$dir/made", $srctree, $list or fail("sh: $!");
	while (<$scan>) {
		chomp;
		if (s/^include //) {
			push @names, $_;
		} elsif (s/^file (\d+) \S+ //) {
			my $path = $_;

			$bytes{$path} = $1;
			push @includes, map { [$path, $_] } splice @names;
		}
	}
	close $scan or fail('a header could not be read: see above');
	unlink $list;
	return @includes;
}

# The path of what $header includes by $name, undef for what is not at hand.
sub included
{
	my ($header, $name) = @_;
	my @dirs = @include_path;

	unshift @dirs, $header =~ m{^(.*)/} ? $1 : '.' if $name =~ s/^"(.*)"$/$1/;
	$name =~ s/^<(.*)>$/$1/;
	for my $in (@dirs) {
		my $path = "$in/$name";

		1 while $path =~ s{(?:^|(?<=/))(?!\.\.?/)[^/]+/\.\./|(?:^|(?<=/))\./|(?<=/)/}{};
		return $path if $origin{$path} || $candidate{$path};
	}
	return undef;
}

# Takes from the candidates what headers include, and what that includes.
sub take_included
{
	my %is_candidate = map { m{([^/]*)$} => 1 } keys %candidate;
	my @new = sort keys %origin;

	while (@new) {
		my @includes = scan(@new);

		@new = ();
		for my $include (@includes) {
			next unless $include->[1] =~ m{([^/<"]+)[">]$} && $is_candidate{$1};
			my $path = included(@$include);

			next unless defined $path && $candidate{$path};
			$origin{$path} = delete $candidate{$path};
			push @new, $path;
		}
	}
	for my $path (sort keys %candidate) {
		print STDERR "gen_kheaders: warning: $path: left out: not named like a header, " .
			"and no header includes it\n" if $path =~ m{(?:^|/)include/};
	}
}

# Returns for each block its lines.
sub assign
{
	my ($total, $done) = (0, 0);
	my @lists = map { [] } 1 .. $blocks;
	my %seen;

	$total += $bytes{$_} for keys %origin;
	for my $path (map { tr{\001}{/}r } sort map { tr{/}{\001}r } keys %origin) {
		my $block = int(($done + $bytes{$path} / 2) * $blocks / $total);

		for my $parent (parents($path)) {
			push @{$lists[$block]}, "dir $parent" unless $seen{$parent}++;
		}
		push @{$lists[$block]}, "$origin{$path} $path";
		$done += $bytes{$path};
	}
	return @lists;
}

# The line of a list as make has to read it; nothing for what is in no tree.
sub prerequisite
{
	my ($tree, $path) = $_[0] =~ /^(src|obj)=? (.*)/ or return ();

	$path =~ s/[][ #:*?]/\\$&/g;
	$path =~ s/\$/\$\$/g;
	return $tree eq 'src' ? "\$(srctree)/$path" : $path;
}

read_names();
make_compile_flags();
#ifdef KHEADERS_HAVE_AUTOKSYMS
# It lists what symbols are used in this build and changes while that goes on;
# headers want it to be there.
make_file('include/generated/autoksyms.h', "/* changes while a kernel is built */\n")
	if slurp('include/config/auto.conf') =~ /^CONFIG_TRIM_UNUSED_KSYMS=y$/m;
#endif
#ifdef KHEADERS_WITH_EXTMOD
if (@programs) {
	make_file('.config', slurp($ENV{KCONFIG_CONFIG} || '.config'));
	make_file('scripts/module.lds', slurp("$dir/module.lds"));
	make_file('GNUmakefile', slurp("$srctree/scripts/gen_kheaders_programs.mk"));
	make_programs();
}
#endif
take_included();

my @lists = assign();
my $rules = '';
for my $n (1 .. $blocks) {
	my $list = $lists[$n - 1];

	# What is new in it may be newer than the stamp; and is read after $start.
	utime $start, $start, "$dir/$n.headers"
		if update("$dir/$n.list", join '', map { "$_\n" } "mtime $mtime", @links, @$list) &&
			((stat "$dir/$n.headers")[9] // $start) < $start;
	print "$_\n" for @$list;
	$rules .= join(" \\\n ", "kheaders-$n :=", map { prerequisite($_) } @$list) .
		"\n$dir/$n.headers: \$(kheaders-$n)\n\$(kheaders-$n):\n";
}
update("$dir/.manifest.d", $rules);
close STDOUT or fail("manifest: $!");

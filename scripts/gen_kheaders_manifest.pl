#!/usr/bin/env perl
# SPDX-License-Identifier: GPL-2.0-only
#
# Say what the kernel's archive of headers consists of: the manifest that
# gen_kheaders.sh works from.
#
# usage: gen_kheaders_manifest.pl FLAG...
#
# FLAG... are the compiler's flags of this build. The directories searched are
# include/, arch/$SRCARCH/include/ and each other one of the trees that a flag
# puts into the include path; $srctree and $SRCARCH come from kbuild, the
# current directory is the objtree.
#
# A line of the manifest is one of
#
#	flag FLAG	a preprocessor flag, paths relative to the archive's root
#	define X=Y	a -D that compilers and clangd would read differently in
#			a file of flags: its value has quotes, blanks or such
#	src PATH	a file of the source tree
#	obj PATH	a file of the build; wins over a source file of that path
#	link PATH -> TARGET
#			a symbolic link among them, and where all links on the
#			way end: it is followed, and noted so that the manifest
#			changes when one of them is pointed elsewhere
#
# Paths are sorted. A dangling link, a loop of links and a name that no list or
# makefile can hold are errors.

use strict;
use warnings;
use Cwd qw(realpath);

my $srctree = $ENV{srctree} // '.';
my $srcarch = $ENV{SRCARCH} // fail('SRCARCH is not set: this is run by kbuild');

my %origin;	# path => 'src' or 'obj'
my %target;	# path => where the symbolic link ends
my @included;	# what -include names

# Files that lie among headers and are none: kbuild's own, what compilers leave
# behind, what editors and patch leave behind.
my $no_header = qr{
	^\. | ^(?:Kbuild|Kconfig|Makefile) | ^rustc_cfg$ |
	\.(?:[aos]|ko|mod|order)$ | ^\# | ~$ | \.(?:orig|rej|swp)$
}x;

# A build writes these anew each time, or with the name of its user and host.
my %volatile = map { ("include/generated/$_" => 1) }
	qw(autoksyms.h compile.h utsversion.h);

# What kbuild keeps here is not for C files.
my %pruned = map { $_ => 1 } qw(include/config include/ksym);

# The C dialect, as far as headers can tell and both compilers know the flag.
my $dialect = qr{
	^-std= | ^-nostdinc$ |
	^-f(?:no-)?(?:short-wchar|short-enums|unsigned-char|signed-char|
		      ms-extensions|pack-struct(?:=\d+)?|freestanding)$ |
	^-m(?:32|x32|big-endian)$
}x;

sub fail
{
	die "gen_kheaders_manifest: @_\n";
}

# The path in the archive of a file or directory named to the compiler; undef
# for one outside the trees, and for a tree as a whole.
sub archive_path
{
	my ($path) = @_;

	# One tree may be inside the other.
	for my $top (sort { length $b <=> length $a }
		     $srctree, realpath($srctree), realpath('.')) {
		last if $path =~ s{^\Q$top\E/+(?=.)}{};
	}
	$path =~ s{^(?:\./+)+|/+$}{}g;
	return undef if $path =~ m{^/|^\.?$} || "/$path/" =~ m{/\.\./};
	return $path;
}

# Returns the lines for the flags, and the include path.
sub read_flags
{
	my (@lines, @dirs, %seen, %last);

	while (defined(my $flag = shift @_)) {
		if ($flag =~ /^-(I|isystem|idirafter|iquote)(.*)/s) {
			my $dir = archive_path(length $2 ? $2 : shift @_);
			next unless defined $dir;
			push @dirs, $dir;
			push @lines, $1 eq 'I' ? "-I$dir" : ("-$1", $dir)
				unless $seen{"-$1$dir"}++;
		} elsif ($flag =~ /^-(include|imacros)$/) {
			my $path = archive_path(shift @_);
			next unless defined $path;
			push @lines, $flag, $path;
			push @included, $path;
		} elsif ($flag =~ /^-([DU])(.*)/s) {
			my $macro = "$1" . (length $2 ? $2 : shift @_);
			# make W=1 is about warnings, not about what headers say.
			next if $macro =~ /^DKBUILD_EXTRA_WARN/;
			my ($name) = $macro =~ /^.([^=(]*)/;
			push @lines, "-$macro" unless ($last{$name} // '') eq $macro;
			$last{$name} = $macro;
		} elsif ($flag =~ $dialect) {
			push @lines, $flag unless $seen{$flag}++;
		}
	}
	return (\@lines, \@dirs);
}

# Notes each header in $dir of the tree at $root. Of a directory that is not
# meant for headers alone, such as arch/x86/um, only *.h count.
sub search
{
	my ($root, $origin, $dir, @parents) = @_;
	my $wanted = $dir =~ m{(?:^|/)include(?:/|$)} ? qr/./s : qr/\.h$/;
	my $handle;

	unless (opendir $handle, "$root/$dir") {
		return if $!{ENOENT} && !@parents;
		fail("$dir: $!");
	}
	my $id = join ':', (stat "$root/$dir")[0, 1];
	fail("$dir: symbolic link to one of its parents")
		if grep { $_ eq $id } @parents;
	push @parents, $id;
	for my $name (readdir $handle) {
		my $path = "$dir/$name";

		next if $name =~ $no_header || $volatile{$path} || $pruned{$path};

		unless (lstat "$root/$path") {
			next if $!{ENOENT};	# gone since readdir
			fail("$path: $!");
		}
		my $is_link = -l _;
		if ($is_link && !stat "$root/$path") {
			next unless $name =~ $wanted;
			fail("$path: dangling symbolic link to " . readlink "$root/$path");
		}
		if (-d _) {
			# Stale leftovers must not stand in for what this build generates.
			next if $origin eq 'src' && $path =~ m{include/generated$};
			search($root, $origin, $path, @parents);
		} elsif (-f _) {
			next unless $name =~ $wanted;
			fail("'$path': make cannot handle such a name: rename the file")
				if $path =~ m{[[:cntrl:];|%]|\\(?:[][ #:*?]|$)};
			fail("$path: name too long for a tar archive")
				if length $name > 100 || length $dir > 155;
			$origin{$path} = $origin;
			delete $target{$path};
		} else {
			fail("$path: neither a file nor a directory");
		}
		note_link($root, $path) if $is_link;
	}
	closedir $handle;
}

sub note_link
{
	my ($root, $path) = @_;
	my $top = realpath($root);

	($target{$path} = realpath("$root/$path")) =~ s{^\Q$top\E/}{};
}

my ($flags, $include_path) = read_flags(@ARGV);

# A directory inside another one is searched with that.
my @tops;
for my $dir (sort 'include', "arch/$srcarch/include", @$include_path) {
	push @tops, $dir unless grep { index("$dir/", "$_/") == 0 } @tops;
}
my $out_of_tree = realpath($srctree) ne realpath('.');
for my $dir (@tops) {
	for my $root ($out_of_tree ? $srctree : (), '.') {
		search($root, $root eq '.' ? 'obj' : 'src', $dir);
		note_link($root, $dir) if -l "$root/$dir";
	}
}
for my $path (@included) {
	$origin{$path} //= 'obj' if -f $path;
	$origin{$path} //= 'src' if -f "$srctree/$path";
}
fail("$srctree: no headers found: is this a kernel tree?") unless %origin;

for my $flag (@$flags) {
	if ($flag !~ /^-D(.*["'\\\s].*)/s) {
		print "flag $flag\n";
	} elsif ($flag =~ /\n/) {
		fail("$flag: newline in a flag: not supported");
	} else {
		print "define $1\n";
	}
}
print "$origin{$_} $_\n" for sort keys %origin;
print "link $_ -> $target{$_}\n" for sort keys %target;

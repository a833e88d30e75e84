#!/usr/bin/env perl
# SPDX-License-Identifier: GPL-2.0-only
#
# Say what the kernel's archive of headers can be made from: the files that are
# there, the flags and the time of this build. Nothing is read but directories,
# as this runs in every build.
#
# usage: gen_kheaders_names.pl FLAG...
#ifdef KHEADERS_WITH_EXTMOD
#        gen_kheaders_names.pl --modules FLAG...	for building modules, too
#endif
#
# FLAG... are the compiler's flags of this build. The directories searched are
# include/, arch/$SRCARCH/include/ and each other one of the trees that a flag puts
# into the include path; $srctree, $SRCARCH and $KBUILD_BUILD_TIMESTAMP come from kbuild, the
# current directory is the objtree.
#
# A line of the output is one of
#
#	mtime SECONDS	the time for all of the archive, since 1970
#	warning TEXT	what gen_kheaders_manifest.pl is to tell
#	flag FLAG	a preprocessor flag, paths relative to the archive's root
#	define X=Y	a -D that compilers and clangd would read differently in
#			a file of flags: its value has quotes, blanks or such
#	src PATH	a header of the source tree
#	obj PATH	a header of the build; wins over one of the source tree
#	src? PATH
#	obj? PATH	a file that is a header if another one includes it
#ifdef KHEADERS_WITH_EXTMOD
#	src= PATH
#	obj= PATH	a file for building modules, not to be changed
#endif
#	link PATH -> TARGET
#			a symbolic link among them, and where all links on the
#			way end: noted so that a link pointed elsewhere is seen
#
# Paths are sorted. Of the links only one that should be a header and dangles,
# and a loop, are errors.

use strict;
use warnings;
use Cwd qw(realpath);

# Where the time of build says nothing: 1980-01-01. tar finds fault with 0.
use constant DEFAULT_MTIME => 315_532_800;
use constant TOO_LATE => 8 ** 11;	# for the eleven digits that tar has

my $srctree = $ENV{srctree} // '.';
my $srcarch = $ENV{SRCARCH} // fail('SRCARCH is not set: this is run by kbuild');
my $real_srctree = realpath($srctree);
my $real_objtree = realpath('.');
my $out_of_tree = $real_srctree ne $real_objtree;
# One may be inside the other.
my $trees = join '|', map { quotemeta }
	sort { length $b <=> length $a } $srctree, $real_srctree, $real_objtree;

my %origin;	# path => 'src' or 'obj', with a ? if it is none by its name
my %target;	# path => where the symbolic link ends
my @included;	# what -include names
my $for_headers;	# a directory of the include path for headers alone, or inside one
my @warnings;

# What C and assembler files include, by its name.
my $header = qr/\.(?:h|S|inc|def)$/;

# Files that belong among headers and are none: kbuild's own, what compilers,
# editors and patch leave behind.
my $no_header = qr{
	^\. | ^(?:Kbuild|Kconfig|Makefile)  | ^rustc_cfg$ |
	\.(?:[aos]|ko|mod|order)$ | ^\# | ~$ | \.(?:orig|rej|swp)$
}x;

# A build writes these anew each time, or with the name of its user and host.
my %volatile = map { ("include/generated/$_" => 1) } qw(compile.h utsversion.h);

# What kbuild keeps here is not for C files.
my $pruned = qr{^include/config$|^arch/[^/]+/boot$};
#ifdef KHEADERS_HAVE_AUTOKSYMS
$pruned = qr{$pruned|^include/ksym$};
$volatile{'include/generated/autoksyms.h'} = 1;
#endif

# Names that make cannot handle.
my $unmakeable = qr{[[:cntrl:];|%]|\\(?:[][ #:*?]|$)};

# The C dialect, as far as headers can tell and both compilers know the flag.
my $dialect = qr{
	^-std= | ^-nostdinc$ |
	^-f(?:no-)?(?:short-wchar|short-enums|unsigned-char|signed-char|
		      ms-extensions|pack-struct(?:=\d+)?|freestanding)$ |
	^-m(?:32|64|x32|big-endian|little-endian)$ | ^-E[BL]$ | ^-mabi=(?:32|n32|64)$
}x;

sub fail
{
	die "gen_kheaders_names: @_\n";
}

# Seconds from 1970 to midnight UTC of a day, undef if there is no such day.
sub midnight
{
	my ($year, $month, $day) = @_;
	my $leap = $year % 4 == 0 && ($year % 100 || $year % 400 == 0);
	my @days = (31, $leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31);

	return undef if $year < 1970 || $month > 11 || $day < 1 || $day > $days[$month];
	$day += 365 * ($year - 1970) + int(($year - 1) / 4) - int(($year - 1) / 100) +
		int(($year - 1) / 400) - 477;
	$day += $days[$_] for 0 .. $month - 1;
	return 86_400 * ($day - 1);
}

# Minutes east of Greenwich, or undef.
sub zone
{
	my ($zone) = @_;
	my %minutes = (UTC => 0, GMT => 0, Z => 0, WET => 0, CET => 60, CEST => 120,
		       EST => -300, EDT => -240, CST => -360, CDT => -300,
		       MST => -420, MDT => -360, PST => -480, PDT => -420);

	return $minutes{$zone} unless $zone =~ /^([-+])([01]\d):?([0-5]\d)$/;
	return ($2 * 60 + $3) * ($1 eq '-' ? -1 : 1);
}

# The seconds since 1970 that a text means, the same ones on every day and with
# every system's date command; undef if it does not say year, month and day.
# Without a zone it is UTC.
sub seconds
{
	my ($text) = @_;
	my %month = do { my $n = 0; map { $_ => $n++ }
		qw(jan feb mar apr may jun jul aug sep oct nov dec) };
	my ($year, $mon, $day, $hour, $min, $sec, $offset, $half) =
		(undef, undef, undef, 0, 0, 0, 0, undef);

	return $1 > 0 && $1 < TOO_LATE ? $1 + 0 : undef
		if $text =~ /^\s*\@?(\d{1,11})(?:\.\d*)?\s*$/;
	$text =~ s/(?<=\d)T(?=\d)/ /i;
	$text =~ s/(?<=\d)(?=Z\b|[-+]\d\d:?\d\d\s*$)/ /;
	for my $word (split /[\s,]+/, $text) {
		if ($word =~ /^(\d{4})-(\d\d)-(\d\d)$/ && !defined $year) {
			($year, $mon, $day) = ($1, $2 - 1, $3);
		} elsif ($word =~ /^(\d\d?):(\d\d)(?::(\d\d)(?:[.]\d+)?)?$/) {
			($hour, $min, $sec) = ($1, $2, $3 // 0);
		} elsif ($word =~ /^\d{4}$/ && !defined $year) {
			$year = $word;
		} elsif ($word =~ /^\d\d?$/ && !defined $day) {
			$day = $word;
		} elsif ($word =~ /^(...)[a-z]*\.?$/i && defined $month{lc $1} &&
			 !defined $mon) {
			$mon = $month{lc $1};
		} elsif ($word =~ /^([AP])M$/i) {
			$half = lc $1;
		} elsif (defined zone($word)) {
			$offset = zone($word);
		} elsif ($word !~ /^(?:mon|tue|wed|thu|fri|sat|sun)(?:[a-z]*day)?\.?$/i &&
			 length $word) {
			return undef;
		}
	}
	return undef unless defined $year && defined $mon && defined $day;
	$hour = $hour % 12 + ($half eq 'p' ? 12 : 0) if defined $half;
	my $midnight = midnight($year, $mon, $day);
	return undef if !defined $midnight || $hour > 23 || $min > 59 || $sec > 60;
	my $time = $midnight + 3600 * $hour + 60 * ($min - $offset) + $sec;
	return $time > 0 && $time < TOO_LATE ? $time : undef;
}

sub mtime
{
	my $text = $ENV{KBUILD_BUILD_TIMESTAMP} // '';
	my $seconds = seconds($text);

	push @warnings, "KBUILD_BUILD_TIMESTAMP='$text': not a date with year, month and " .
		'day since 1970: files in the archive are dated 1980-01-01'
		if $text =~ /\S/ && !defined $seconds;
	return $seconds // DEFAULT_MTIME;
}

# The path in the archive of a file or directory named to the compiler; undef
# for one outside the trees, and for a tree as a whole.
sub archive_path
{
	my ($named) = @_;
	my $path = $named;
	my $inside = $path =~ s{^(?:$trees)(?:/+|$)}{} || $path !~ m{^/};

	1 while $path =~ s{(?:^|(?<=/))(?!\.\.?/)[^/]+/\.\./|(?:^|(?<=/))\./|(?<=/)/}{};
	$path =~ s{/+$}{};
	my $is_tree = $path =~ m{^\.?$};
	return $path if !$is_tree && $inside && "/$path/" !~ m{/\.\./};
	# Of the compiler's own headers everybody has some.
	push @warnings, "$named: " . ($is_tree ? 'all of a tree' : "outside the kernel's trees") .
		', so not in the archive, though in the flags'
		if -e $named && !-e "$named/stdarg.h";
	return undef;
}

# Returns the lines for the flags, and the include path.
sub read_flags
{
	my (@lines, @dirs, %seen, $target, $compilers_own);

	while (defined(my $flag = shift @_)) {
		if ($flag =~ /^-(I|isystem|idirafter|iquote)(.*)/s) {
			my $kind = $1;
			my $named = length $2 ? $2 : shift @_;
			my $dir = archive_path($named);
			$compilers_own = 1 if $kind eq 'isystem' && -e "$named/stdarg.h";
			next unless defined $dir;
			push @dirs, $dir;
			push @lines, "-$kind$dir" unless $seen{"-$kind$dir"}++;
		} elsif ($flag =~ /^--?(include|imacros)(?!-)=?(.*)/s) {
			my $option = "-$1";
			my $path = archive_path(length $2 ? $2 : shift @_);
			next unless defined $path;
			push @lines, $option, $path;
			push @included, $path;
		} elsif ($flag =~ /^-([DU])(.*)/s) {
			my $macro = "$1" . (length $2 ? $2 : shift @_);
			# make W=1 is about warnings, not about what headers say.
			next if $macro =~ /^DKBUILD_EXTRA_WARN/;
			my ($name) = $macro =~ /^.([^=(]*)/;
			@lines = grep { !/^-[DU]\Q$name\E(?:[=(]|$)/ } @lines;
			push @lines, "-$macro";
		} elsif ($flag =~ /^--target=/) {
			$target = $flag;
		} elsif ($flag eq '-fms-anonymous-structs') {
			# gcc, and clang before 22, know only what includes it.
			push @lines, '-fms-extensions';
		} elsif ($flag =~ $dialect) {
			push @lines, $flag unless $seen{$flag}++;
		}
	}
	# What -nostdinc leaves out is wanted then, whatever the compiler.
	@lines = grep { $_ ne '-nostdinc' } @lines if $compilers_own;
	unshift @lines, $target if $target;
	return (\@lines, \@dirs);
}

# Notes the files of directory $dir in the tree at $root: all of one that is
# for headers; of another one of an architecture, such as arch/x86/um, *.h;
# otherwise, and of what the build makes there, what headers include.
sub search
{
	my ($root, $origin, $dir, @parents) = @_;
	my $all = $dir =~ $for_headers;
	my $by_name = $all ? $header : $dir =~ m{^arch/} ? qr/\.h$/ : qr/(?!)/;
	my $handle;

	unless (opendir $handle, "$root/$dir") {
		return if $!{ENOENT} && !@parents;
		fail("$dir: $!");
	}
	my $id = join ':', (stat "$root/$dir")[0, 1];
	fail("$dir: symbolic link to one of its parents")
		if grep { $_ eq $id } @parents;
	push @parents, $id;
	my @names = readdir $handle;
	closedir $handle;
	# What this build made, as far as it is not for headers.
	my $is_ours = $origin eq 'obj' && !$all;
	my %made = map { /^\.(.*)\.cmd$/ ? ($1 => 1) : () } $is_ours ? @names : ();
	# All but a few have such names, and this runs in every build.
	my $plain_dir = $dir !~ $unmakeable;
	for my $name (@names) {
		my $path = "$dir/$name";
		my $plain = $plain_dir && $name =~ /^\w[\w.+-]*\.h$/;

		next if !$plain && $name =~ $no_header;
		unless (lstat "$root/$path") {
			next if $!{ENOENT};	# gone since readdir
			fail("$path: $!");
		}
		my $is_link = -l _;
		stat "$root/$path" if $is_link;
		if (-d _) {
			next if $path =~ $pruned;
			# Stale leftovers must not stand in for what this build generates.
			next if $origin eq 'src' && $path =~ m{include/generated$};
			search($root, $origin, $path, @parents);
		} elsif (!-f _) {
			my $what = $is_link && !-e _ ? 'dangling symbolic link to ' .
				readlink "$root/$path" : 'neither a file nor a directory';
			fail("$path: $what") if $name =~ $by_name;
			push @warnings, "$path: left out: $what" if $all;
			next;
		} elsif ($volatile{$path}) {
			next;
		} else {
			my $wanted = $name =~ $by_name &&
				!($is_ours && ($out_of_tree || $made{$name}));

			if (!$plain && $path =~ $unmakeable) {
				fail("'$path': make cannot handle such a name: rename the file")
					if $wanted;
				next;
			}
			# When which program comes to be there is no matter of ours.
			next if $is_ours && !$wanted && $name !~ /\.(?:h|inc|def)$/ &&
				($out_of_tree || $made{$name});
			$origin{$path} = $wanted ? $origin : "$origin?";
			delete $target{$path};
		}
		$target{$path} = realpath("$root/$path") if $is_link;
	}
}

#ifdef KHEADERS_WITH_EXTMOD
# What make M= reads beside headers: makefiles and what they include and run, the
# configuration, the linker's script. Of scripts/ nothing is below the first level
# but programs, which the manifest's step gets.
sub list_for_modules
{
	my $in_scripts = qr{
		^Makefile(?:\.[\w-]+)?$ | \.(?:include|scl)$ | ^recordmcount\.(?:c|h|pl)$ |
		^(?:check-local-export|kernel-doc|module-common\.c|
		    context-analysis-suppression\.txt)$ |
		^(?:as-version|cc-version|checker-valid|depmod|file-size|gen-btf|gen_ksymdeps|
		    ld-version|min-tool-version|modules-check|orc_hash|pahole-flags|
		    pahole-version|xz_wrap)\.sh$
	}x;
	my $left_behind = qr/\.(?:orig|rej|bak|swp|old)$/;
	my @names = ('Makefile', "arch/$srcarch/Kbuild.platforms",
		     "arch/$srcarch/platforms/44x/ppc476_modules.lds",
		     map({ "arch/$srcarch/$_" } grep { /^Makefile/ } names_in("arch/$srcarch")),
		     map({ "arch/$srcarch/$_/Platform" } names_in("arch/$srcarch")),
		     map({ "scripts/$_" } grep { $_ =~ $in_scripts } names_in('scripts')));

	push @names, 'arch/x86/Makefile.um', 'arch/x86/Makefile_32.cpu' if $srcarch eq 'um';
	for my $name (@names) {
		$origin{$name} = 'src=' if -f "$srctree/$name" && $name !~ $left_behind;
	}
	for my $path ('include/config/auto.conf', 'include/config/kernel.release',
		      'include/generated/rustc_cfg',
		      "arch/$srcarch/module.lds",
		      (grep { $_ eq '-DRANDSTRUCT' } @_) ? 'scripts/basic/randstruct.seed' : ()) {
		$origin{$path} = 'obj=' if -f $path;
	}
}

sub names_in
{
	my ($dir) = @_;

	opendir my $handle, "$srctree/$dir" or fail("$dir: $!");
	return sort grep { !/^\./ } readdir $handle;
}

my $for_modules = @ARGV && $ARGV[0] eq '--modules' && shift;
#endif
my ($flags, $include_path) = read_flags(@ARGV);

# A directory inside another one is searched with that.
my @dirs = sort 'include', "arch/$srcarch/include", @$include_path;
my @tops;
for my $dir (@dirs) {
	push @tops, $dir unless grep { index("$dir/", "$_/") == 0 } @tops;
}
$for_headers = join '|', map { quotemeta } grep { m{(?:^|/)include(?:/|$)} } @dirs;
$for_headers = qr{^(?:$for_headers)(?:/|$)};
for my $dir (@tops) {
	for my $root ($out_of_tree ? $srctree : (), '.') {
		search($root, $root eq '.' ? 'obj' : 'src', $dir);
		$target{$dir} = realpath("$root/$dir") if -l "$root/$dir";
	}
}
for my $path (@included) {
	$origin{$path} = -f $path ? 'obj' : -f "$srctree/$path" ? 'src' : next
		if ($origin{$path} // '?') =~ /\?/;
}

#ifdef KHEADERS_WITH_EXTMOD
list_for_modules(@$flags) if $for_modules;
#endif
print 'mtime ', mtime(), "\n";
print 'warning ', s/\s+/ /gr, "\n" for sort @warnings;
print /^-D(.*["'\\\s].*)/ ? "define $1\n" : "flag $_\n" for @$flags;
print "$origin{$_} $_\n" for sort keys %origin;
print "link $_ -> $target{$_}\n" for sort keys %target;

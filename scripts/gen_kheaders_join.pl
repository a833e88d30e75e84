#!/usr/bin/env perl
# SPDX-License-Identifier: GPL-2.0-only
#
# Join .xz files to one stream: their blocks one after the other, with one header
# before and one index behind them.
#
# usage: gen_kheaders_join.pl FILE... >JOINED
#
# Each file is one stream, as xz writes it. The format and its numbers are those
# of "The .xz File Format", version 1.2.1, sections 2.1 (header and footer) and 4
# (index). What a concatenation would be, several streams, the kernel's decoder
# does not read.

use strict;
use warnings;

use constant {
	HEADER_MAGIC => "\xfd7zXZ\0",
	FOOTER_MAGIC => 'YZ',
	EDGE => 12,	# bytes of a header, and of a footer
};

sub fail
{
	die "gen_kheaders_join: @_\n";
}

sub crc32
{
	my ($data) = @_;
	my $crc = 0xffffffff;

	for my $byte (unpack 'C*', $data) {
		$crc ^= $byte;
		$crc = $crc >> 1 ^ ($crc & 1 ? 0xedb88320 : 0) for 1 .. 8;
	}
	return pack 'V', $crc ^ 0xffffffff;
}

# A number of variable length: seven bits a byte, the least ones first.
sub number
{
	my ($n) = @_;
	my $bytes = '';

	for (; $n > 127; $n >>= 7) {
		$bytes .= chr($n & 127 | 128);
	}
	return $bytes . chr $n;
}

sub read_number
{
	my ($bytes) = @_;
	my ($n, $shift) = (0, 0);

	while ($$bytes =~ s/^(.)//s) {
		$n |= (ord($1) & 127) << $shift;
		return $n if ord $1 < 128;
		$shift += 7;
	}
	fail('an index ends too early');
}

# Returns the flags of a stream, its blocks, and of each the two sizes.
sub parse
{
	my ($path) = @_;

	open my $file, '<:raw', $path or fail("$path: $!");
	my $stream = do { local $/; readline $file } // '';

	length $stream >= 2 * EDGE && index($stream, HEADER_MAGIC) == 0 &&
		substr($stream, -2) eq FOOTER_MAGIC or fail("$path: not an xz file");
	my $flags = substr $stream, 6, 2;
	my $index_size = (unpack('V', substr $stream, -8, 4) + 1) * 4;
	$index_size + 2 * EDGE <= length $stream &&
		substr($stream, 8, 4) eq crc32($flags) or fail("$path: damaged");
	my $index = substr $stream, -EDGE - $index_size, $index_size;
	substr($index, -4) eq crc32(substr $index, 0, -4) && $index =~ s/^\0//
		or fail("$path: damaged");

	my @sizes;
	for (1 .. read_number(\$index)) {
		push @sizes, [read_number(\$index), read_number(\$index)];
	}
	my $blocks = substr $stream, EDGE, -EDGE - $index_size;
	my $expected = 0;
	$expected += $_->[0] + -$_->[0] % 4 for @sizes;
	$expected == length $blocks or fail("$path: not one stream");
	return ($flags, $blocks, @sizes);
}

@ARGV or fail('no files');
binmode STDOUT;
my ($flags, @sizes);
for my $path (@ARGV) {
	my ($these, $blocks, @of_blocks) = parse($path);

	print HEADER_MAGIC, $these, crc32($these) unless defined $flags;
	$flags //= $these;
	$these eq $flags or fail("$path: another integrity check than $ARGV[0]");
	print $blocks;
	push @sizes, @of_blocks;
}
my $index = join '', "\0", number(scalar @sizes), map { map { number($_) } @$_ } @sizes;
$index .= "\0" x (-length($index) % 4);
my $end = pack('V', length($index) / 4) . $flags;
print $index, crc32($index), crc32($end), $end, FOOTER_MAGIC;
close STDOUT or fail("writing: $!");

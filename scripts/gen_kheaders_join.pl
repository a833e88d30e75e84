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

	return $n < 128 ? chr $n : chr($n & 127 | 128) . number($n >> 7);
}

# The numbers in $bytes, and 0 for each byte that pads them.
sub numbers
{
	my ($bytes) = @_;
	my @numbers;

	while ($bytes =~ /([\x80-\xff]*[\0-\x7f])/g) {
		my $n = 0;

		$n = $n << 7 | $_ & 127 for reverse unpack 'C*', $1;
		push @numbers, $n;
	}
	return @numbers;
}

# Returns the flags of a stream, its blocks, and the two sizes of each.
sub parse
{
	my ($path) = @_;

	open my $file, '<:raw', $path or fail("$path: $!");
	my $stream = do { local $/; readline $file } // '';
	my ($flags, $blocks, $size) = $stream =~ /^\xfd7zXZ\0(..)....(.*)....(....)\1YZ\z/s
		or fail("$path: not an xz file");
	$size = 4 * unpack('V', $size) + 4;
	my $index = $size > length $blocks ? '' : substr($blocks, -$size, $size, '');
	$index =~ s/(....)\z//s && $1 eq crc32($index) or fail("$path: damaged");

	my ($count, @sizes) = numbers(substr $index, 1);
	$#sizes = 2 * $count - 1;
	my $expected = 0;
	$expected += $sizes[2 * $_] + -$sizes[2 * $_] % 4 for 0 .. $count - 1;
	$expected == length $blocks or fail("$path: not one stream");
	return ($flags, $blocks, @sizes);
}

binmode STDOUT;
my ($flags, @sizes);
for my $path (@ARGV) {
	my ($these, $blocks, @of_blocks) = parse($path);

	print "\xfd7zXZ\0", $these, crc32($these) unless defined $flags;
	print $blocks;
	$flags = $these;
	push @sizes, @of_blocks;
}
my $index = join '', "\0", map { number($_) } @sizes / 2, @sizes;
$index .= "\0" x (-length($index) % 4);
my $end = pack('V', length($index) / 4) . $flags;
print $index, crc32($index), crc32($end), $end, 'YZ';
close STDOUT or fail("writing: $!");

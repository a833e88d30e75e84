# SPDX-License-Identifier: GPL-2.0-only
"""usage: hostile.py DIR: writes archives that must not be unpacked.

Each is DIR/NAME.tar.xz. But for one thing it is a small archive of headers.
"""

import io
import lzma
import struct
import sys
import tarfile
import zlib

out = sys.argv[1]


def member(name, kind=tarfile.REGTYPE, data=b'hostile\n', **fields):
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = len(data) if kind == tarfile.REGTYPE else 0
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def tar(*members, first='include/linux/kconfig.h'):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w', format=tarfile.GNU_FORMAT) as archive:
        for info, data in [member(first)] + list(members):
            archive.addfile(info, io.BytesIO(data) if info.size else None)
    return bytearray(buffer.getvalue())


def write(name, content, check=lzma.CHECK_CRC32, pack=True):
    with open('%s/%s.tar.xz' % (out, name), 'wb') as file:
        file.write(lzma.compress(bytes(content), check=check, preset=0) if pack else content)


def checksum(header):
    header[148:156] = b' ' * 8
    header[148:156] = b'%06o\0 ' % sum(header)


def changed(at, value, header=0):
    """A field of the header at that place, with the right checksum."""
    content = tar(member('include/changed.h', data=b'x' * 600))
    block = content[header:header + 512]
    block[at:at + len(value)] = value
    checksum(block)
    content[header:header + 512] = block
    return content


SECOND = 1024   # where the second member's header is
LINK = tarfile.SYMTYPE
write('absolute', tar(member('/tmp/kheaders-hostile')))
write('dotdot', tar(member('../hostile')))
write('dotdot-within', tar(member('include/../../hostile')))
write('dotdot-last', tar(member('include/..', tarfile.DIRTYPE)))
write('dot-within', tar(member('include/./hostile')))
write('empty-component', tar(member('include//hostile')))
write('newline', tar(member('include/a\nb')))
write('escape', tar(member('include/\033[2J')))
write('escape-c1', tar(member('include/\x9b2J', tarfile.LNKTYPE, linkname='a')))
write('slash-behind', changed(0, b'include/changed.h/', SECOND))
write('no-name', changed(0, b'\0' * 100, SECOND))
write('link-absolute', tar(member('include/link', LINK, linkname='/etc')))
write('link-out', tar(member('include/link', LINK, linkname='../../etc')))
write('link-out-deep', tar(member('include/linux/link', LINK, linkname='../../../etc')))
write('link-parent', tar(member('link', LINK, linkname='..')))
write('link-by-link', tar(member('include/a', LINK, linkname='linux'),
                          member('include/b', LINK, linkname='a/../../..')))
write('link-empty', tar(member('include/link', LINK, linkname='')))
write('through-link', tar(member('link', LINK, linkname='include'), member('link/hostile')))
write('over-link', tar(member('link', LINK, linkname='include/hostile'), member('link')))
write('hard-link', tar(member('include/hard', tarfile.LNKTYPE, linkname='include/linux/kconfig.h')))
write('hard-link-out', tar(member('include/hard', tarfile.LNKTYPE, linkname='../../etc/passwd')))
write('character-device', tar(member('include/null', tarfile.CHRTYPE, devmajor=1, devminor=3)))
write('block-device', tar(member('include/disk', tarfile.BLKTYPE, devmajor=8)))
write('fifo', tar(member('include/fifo', tarfile.FIFOTYPE)))
write('setuid', tar(member('include/setuid', mode=0o4755)))
write('setgid', tar(member('include/setgid', mode=0o2755)))
write('twice', tar(member('include/a.h'), member('include/a.h')))
write('twice-far', tar(member('include/a.h'), member('arch/b.h'), member('./include/a.h')))
write('file-over-directory', tar(member('include/linux')))
write('directory-over-file', tar(member('include/a.h'), member('include/a.h', tarfile.DIRTYPE)))
write('below-file', tar(member('include/a.h'), member('include/a.h/b.h')))
write('deep', tar(member('a/' * 40 + 'b')))
write('long', tar(member('include/' + 'b' * 300)))
write('large', tar(member('include/large', data=b'\0' * (65 << 20))))
write('many', tar(*[member('include/%d' % n, data=b'') for n in range(3000)]))
write('many-directories', tar(*[member('include/%d' % n, tarfile.DIRTYPE) for n in range(3000)]))
write('size-huge', changed(124, b'77777777777\0', SECOND))
write('size-negative', changed(124, b'\xff' * 12, SECOND))
write('size-64-bit', changed(124, b'\x80\0\0\0\x7f' + b'\xff' * 7, SECOND))
write('checksum', tar(member('include/a.h')).replace(b'include/a.h', b'include/b.h'))
sparse = changed(156, b'S', SECOND)
sparse[SECOND + 386:SECOND + 410] = b'%011o\0%011o\0' % (4096, 600)
sparse[SECOND + 483:SECOND + 495] = b'%011o\0' % 4696
block = sparse[SECOND:SECOND + 512]
checksum(block)
sparse[SECOND:SECOND + 512] = block
write('sparse', sparse)
whole = tar(member('include/a.h', data=b'x' * 5000))
write('cut-in-data', whole[:2000])
write('cut-in-header', whole[:1200])
write('cut-behind-file', whole[:1024])
write('garbage-behind-end', whole + b'x' * 512)
write('no-headers', tar(member('a'), first='include/linux/sched.h'))
write('empty', b'')
write('text', b'no archive\n' * 1000)

xz = lzma.compress(bytes(whole), check=lzma.CHECK_CRC32)
write('xz-cut', xz[:-1], pack=False)
write('xz-half', xz[:len(xz) // 2], pack=False)
write('xz-twice', xz + xz, pack=False)
write('xz-garbage-behind', xz + b'behind', pack=False)
head = bytearray(xz[12:24])     # the block's header: LZMA2 with its dictionary
assert head[2:4] == b'\x21\x01'
head[4] = 40                    # 4 GiB - 1
head[8:] = struct.pack('<I', zlib.crc32(bytes(head[:8])))
write('xz-dictionary', xz[:12] + head + xz[24:], pack=False)
for n in range(0, len(xz), 7):
    flipped = bytearray(xz)
    flipped[n] ^= 1 << n % 8
    write('flipped-%04d' % n, flipped, pack=False)

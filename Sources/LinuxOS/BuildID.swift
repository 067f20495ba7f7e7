/// The build id that the linker put into a program: two programs that differ have different ones.
///
/// Read from the note `NT_GNU_BUILD_ID` of an ELF file (elf(5), ld(1) `--build-id`), by its program headers, so
/// that it is found in stripped files too.
public enum BuildID {
  /// The build id of the program that runs, in hexadecimal, or nil when it has none.
  public static let ofThisProgram: String? = try? read(path: "/proc/self/exe")

  /// The build id of a file, in hexadecimal; nil when it is no 64-bit little-endian ELF file, or has none.
  ///
  /// - Complexity: reads the headers and the notes, at most 64 KiB.
  public static func read(path: String) throws(SystemError) -> String? {
    try read(try Files.open(path, .readOnly))
  }

  /// The same for an open file.
  public static func read(_ file: borrowing OwnedDescriptor) throws(SystemError) -> String? {
    let header = try file.read(count: 64, at: 0)
    let magic: [UInt8] = [0x7F, 0x45, 0x4C, 0x46, 2, 1]
    guard header.count == 64, header.starts(with: magic) else { return nil }
    let entrySize = number(header, 54, 2)
    let count = min(number(header, 56, 2), 256)
    guard entrySize == 56 else { return nil }
    let table = try bytes(of: file, Int(count * entrySize), at: number(header, 32, 8))
    for start in stride(from: 0, through: table.count - 56, by: 56)
    where number(table, start, 4) == noteSegment {
      let size = Int(min(number(table, start + 32, 8), 16_384))
      if let found = find(in: try bytes(of: file, size, at: number(table, start + 8, 8))) { return found }
    }
    return nil
  }

  /// What is there; nothing at an offset that no file has. Whoever owns the file may have written anything.
  private static func bytes(
    of file: borrowing OwnedDescriptor, _ count: Int, at offset: UInt64
  ) throws(SystemError) -> [UInt8] {
    offset < 1 << 62 ? try file.read(count: count, at: offset) : []
  }

  /// `PT_NOTE`
  private static let noteSegment: UInt64 = 4
  /// `NT_GNU_BUILD_ID`
  private static let buildIDNote: UInt64 = 3

  /// Goes through the notes of a segment: sizes of name and content, type, name, content, each padded to four
  /// bytes.
  static func find(in notes: [UInt8]) -> String? {
    var offset = 0
    while offset + 12 <= notes.count {
      let nameSize = Int(number(notes, offset, 4))
      let size = Int(number(notes, offset + 4, 4))
      let name = offset + 12
      let content = name + (nameSize + 3) / 4 * 4
      guard content + size <= notes.count else { return nil }
      if number(notes, offset + 8, 4) == buildIDNote, size > 0,
        notes[name..<(name + nameSize)].elementsEqual([0x47, 0x4E, 0x55, 0])
      {
        return notes[content..<(content + size)].map(hexadecimal).joined()
      }
      offset = content + (size + 3) / 4 * 4
    }
    return nil
  }

  private static func hexadecimal(_ byte: UInt8) -> String {
    let text = String(byte, radix: 16)
    return byte < 16 ? "0" + text : text
  }

  private static func number(_ bytes: [UInt8], _ offset: Int, _ count: Int) -> UInt64 {
    bytes[offset..<(offset + count)].reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }
}

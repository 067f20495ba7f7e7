import LinuxOS
import Testing

@Suite("A program's build id")
struct BuildIDTests {
  /// The smallest file that has one: a header, one program header, and two notes.
  private static func program(type: UInt8 = 3, id: [UInt8] = [0x01, 0xAB, 0xFF]) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 64 + 56)
    bytes.replaceSubrange(0..<6, with: [0x7F, 0x45, 0x4C, 0x46, 2, 1])
    bytes[32] = 64
    bytes[54] = 56
    bytes[56] = 1
    bytes[64] = 4
    bytes[64 + 8] = 120
    let padding = [UInt8](repeating: 0, count: (4 - id.count % 4) % 4)
    let notes: [UInt8] =
      [2, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 0x58, 0, 0, 0, 9, 0, 0, 0]
      + [4, 0, 0, 0, UInt8(id.count), 0, 0, 0, type, 0, 0, 0, 0x47, 0x4E, 0x55, 0] + id + padding
    bytes[64 + 32] = UInt8(notes.count)
    return bytes + notes
  }

  private func read(_ bytes: [UInt8]) throws -> String? {
    let memfd = try Memfd.create(name: "program", byteCount: 0)
    try memfd.write(bytes, at: 0)
    return try BuildID.read(path: "/proc/self/fd/\(memfd.number)")
  }

  @Test("is read from its notes, past those of other kinds and owners")
  func notes() throws {
    #expect(try read(Self.program()) == "01abff")
    #expect(try read(Self.program(type: 1)) == nil)
    #expect(try read(Self.program(id: [])) == nil)
    #expect(try read([]) == nil)
    #expect(try read(Array("#!/bin/sh\n".utf8)) == nil)
  }

  @Test("of the program that runs is the one of its file")
  func own() throws {
    #expect(BuildID.ofThisProgram == (try BuildID.read(path: try ThisProcess.programPath())))
  }

  @Test("in a file that somebody has damaged is found or not, and nothing worse")
  func damaged() throws {
    let whole = Self.program()
    for length in 0..<whole.count { _ = try read(Array(whole.prefix(length))) }
    for index in whole.indices {
      for value: UInt8 in [0x00, 0x7F, 0x80, 0xFF] {
        var bytes = whole
        bytes[index] = value
        _ = try read(bytes)
      }
    }
    var far = whole
    far.replaceSubrange(32..<40, with: [UInt8](repeating: 0xFF, count: 8))
    #expect(try read(far) == nil)
    far = whole
    far.replaceSubrange(72..<80, with: [UInt8](repeating: 0xFF, count: 8))
    #expect(try read(far) == nil)
  }
}

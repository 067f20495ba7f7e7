import BatonCore
import BatonWire
import LinuxOS
import Testing

@testable import RegistryService

@Suite("The journal's file")
final class JournalFileTests {
  private let directory: String
  private var path: String { "\(directory)/registry.journal" }

  init() throws { directory = try Files.makePrivateDirectory(prefix: "/tmp/baton-journal-") }

  deinit {
    _ = try? Files.remove("\(directory)/registry.journal")
    try? Files.removeDirectory(directory)
  }

  private func record(_ name: String, epoch: UInt64) throws -> GuestRecord {
    GuestRecord(
      name: try #require(GuestName(name)), way: .none, owner: ProcessID(pid: 1, startTime: 2), epoch: epoch,
      phase: .idle, handoff: 0, claimant: nil)
  }

  private func reopened() throws -> [GuestRecord] { try #require(try JournalFile.open(path)).1.records }

  @Test("that is not there is no journal")
  func missing() throws { #expect(try JournalFile.open(path) == nil) }

  @Test("holds what was appended, for the next one that reads it")
  func append() throws {
    let journal = try JournalFile.create(path, [])
    try journal.append(try record("a", epoch: 1))
    try journal.append(try record("b", epoch: 1))
    try journal.append(try record("a", epoch: 2))
    #expect(try reopened() == [try record("a", epoch: 2), try record("b", epoch: 1)])
  }

  @Test("grows over any number of entries and is compacted when most of it is garbage")
  func compaction() throws {
    let journal = try JournalFile.create(path, [])
    for epoch in 1...20_000 {
      try journal.append(try record("a", epoch: UInt64(epoch)))
      if journal.needsMaintenance {
        try journal.maintain([try record("a", epoch: UInt64(epoch))], forgotten: ForgottenNumbers())
      }
    }
    #expect(journal.compactions > 0)
    #expect(journal.committed < 1 << 18)
    #expect(try reopened() == [try record("a", epoch: 20_000)])
  }

  @Test("loses the entries of a guest that was forgotten with the next compaction, and keeps its numbers")
  func forgetting() throws {
    let journal = try JournalFile.create(path, [try record("a", epoch: 7)])
    var epoch: UInt64 = 0
    journal.forget(try #require(GuestName("a")))
    while journal.compactions == 0 {
      epoch += 1
      try journal.append(try record("b", epoch: epoch))
      try journal.maintain(
        [try record("b", epoch: epoch)], forgotten: ForgottenNumbers(epoch: 7, handoff: 3))
    }
    let contents = try #require(try JournalFile.open(path)).1
    #expect(contents.records == [try record("b", epoch: epoch)])
    #expect(contents.forgotten == ForgottenNumbers(epoch: 7, handoff: 3))
  }

  @Test("grows without upkeep too")
  func growth() throws {
    let journal = try JournalFile.create(path, [])
    for epoch in 1...20_000 { try journal.append(try record("a", epoch: UInt64(epoch))) }
    #expect(journal.compactions == 0)
    #expect(try reopened() == [try record("a", epoch: 20_000)])
  }

  @Test("with any byte of header or entries flipped is refused and left as it is")
  func everyFlip() throws {
    let image = Journal.image([try record("a", epoch: 1), try record("b", epoch: 2)])
    for index in image.indices {
      var damaged = image
      damaged[index] ^= 0xFF
      try Files.remove(path)
      try Files.open(path, .createNew).write(damaged, at: 0)
      #expect(throws: JournalFile.Failure.self, "byte \(index)") { _ = try JournalFile.open(path) }
      let file = try Files.open(path, .readOnly)
      #expect(try file.read(count: image.count + 1, at: 0) == damaged)
    }
  }
}

import LinuxOS
import RegistryInterface
import Testing

@testable import batonctl

@Suite("An owner's program")
struct OwnerProgramTests {
  @Test("is known by the build id in what the VMM says of itself")
  func buildId() {
    #expect(OwnerProgram.buildId(in: "baton-vmm 1.2.0 build-id 0123456789ABCDEF") == "0123456789abcdef")
    #expect(OwnerProgram.buildId(in: "baton-vmm 1.2.0") == nil)
    #expect(OwnerProgram.buildId(in: "build-id") == nil)
    #expect(OwnerProgram.buildId(in: "build-id xyz") == nil)
    #expect(OwnerProgram.short("baton-vmm 1.2.0 build-id 0123456789abcdef") == "01234567")
    #expect(OwnerProgram.short("a build with a long name of its own") == "a build with a long ")
    #expect(OwnerProgram.short(nil) == "-")
  }

  @Test("outside of a unit is not compared with anything")
  func outside() {
    var guest = Samples.guest()
    guest.owner = VMMProcess(processId: ThisProcess.pid, userId: 0)
    let program = ProgramSurvey().program(of: guest)
    #expect(program.isOutdated == nil)
    #expect(program.detail == "its owner is in no unit")
    // This very process may be looked at, and its build id read.
    #expect(program.buildId == BuildID.ofThisProgram)
  }
}

@Suite("A metrics file")
struct TextFileWriterTests {
  @Test("is replaced whole, readable by everybody, with nothing left beside it")
  func write() throws {
    let directory = try Files.makePrivateDirectory(prefix: "/tmp/baton-metrics-")
    let path = "\(directory)/baton.prom"
    defer {
      _ = try? Files.remove(path)
      _ = try? Files.removeDirectory(directory)
    }
    try TextFileWriter.write("a long first text\n", to: path)
    try TextFileWriter.write("second\n", to: path)
    let file = try Files.open(path, .readOnly)
    #expect(try file.read(maximum: 100) == Array("second\n".utf8))
    #expect(try file.identity().mode & 0o777 == 0o644)
    TextFileWriter.remove(path)
    // An empty directory can be removed: nothing else is in it.
    #expect(throws: Never.self) { try Files.removeDirectory(directory) }
  }

  @Test("that cannot be written says so")
  func unwritable() {
    #expect(throws: CommandFailure.self) { try TextFileWriter.write("x", to: "/nonexistent/baton.prom") }
  }

  @Test("is written under a name that the collector passes over")
  func temporary() {
    #expect(TextFileWriter.temporary("/var/x/baton.prom") == "/var/x/.baton.prom.\(ThisProcess.pid)")
    #expect(TextFileWriter.temporary("baton.prom") == ".baton.prom.\(ThisProcess.pid)")
  }
}

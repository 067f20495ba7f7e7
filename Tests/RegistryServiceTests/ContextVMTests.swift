import BatonCore
import BatonWire
import LinuxOS
import Testing

@testable import RegistryService

/// Way `move`: which of the VMs in custody goes along with what.
@Suite("A VM in custody")
struct ContextVMTests {
  private static let successor = ProcessID(pid: 2, startTime: 2)
  private static let next = ProcessID(pid: 3, startTime: 3)

  /// Stands for a VM: an open file of its own.
  private static func vm() throws -> OwnedDescriptor { try Memfd.create(name: "vm", byteCount: 4_096) }

  private static func inode(_ bundle: DescriptorBundle?) throws -> [UInt64] {
    guard let bundle else { return [] }
    return try (0..<bundle.count).map { try bundle.list.identity(at: $0).inode }
  }

  private static func inodes(_ custody: Custody, _ grant: VMGrant) throws -> [UInt64] {
    try custody.vms(of: grant).flatMap { try inode($0) }
  }

  @Test("goes along as the machine grants it, and no other one")
  func grants() throws {
    var custody = Custody()
    var ram = try TestRAM().manifest
    ram.way = .move
    ram.hasVM = true
    var list = DescriptorList()
    for _ in 0..<ram.files.count { list.append(try Self.vm()) }
    list.append(try Self.vm())
    let staged = try Self.vm()
    let stagedInode = try staged.identity().inode
    list.append(staged)
    let takeBack = try Self.vm()
    let takeBackInode = try takeBack.identity().inode
    list.append(takeBack)
    let offer = IncomingDescriptors(.offer(ram), list)
    #expect(offer.bringsVM)
    custody.keep(offer)

    let own = try Self.vm()
    let ownInode = try own.identity().inode
    var single = DescriptorList()
    single.append(own)
    let ready = IncomingDescriptors.successorVM(of: Self.successor, single)
    custody.keep(try #require(ready))
    let without = IncomingDescriptors.successorVM(of: Self.next, DescriptorList())
    #expect(without == nil)

    var grant = VMGrant()
    #expect(try Self.inodes(custody, grant) == [])
    grant.staged = true
    #expect(try Self.inodes(custody, grant) == [stagedInode])
    grant.takeBack = true
    grant.successors = [Self.successor, Self.next]
    #expect(try Self.inodes(custody, grant) == [stagedInode, takeBackInode, ownInode])
    custody.empty()
    #expect(custody.count == 0)
    #expect(try Self.inodes(custody, grant) == [])
  }

  @Test("that a claimant brings back is kept beside the source's, and replaces what another one brought")
  func returned() throws {
    var custody = Custody()
    var manifest = try TestRAM().manifest
    manifest.way = .move
    manifest.hasVM = true
    var last: [UInt64] = []
    for _ in 0..<2 {
      var list = DescriptorList()
      for _ in 0..<(manifest.files.count + 1) { list.append(try Self.vm()) }
      last = []
      for _ in 0..<3 {
        let vm = try Self.vm()
        last.append(try vm.identity().inode)
        list.append(vm)
      }
      custody.keep(IncomingDescriptors(.returned(manifest), list))
    }
    var grant = VMGrant()
    grant.returned = true
    #expect(try Self.inodes(custody, grant) == last)
    #expect(custody.count == manifest.files.count + 1 + 3)
  }
}

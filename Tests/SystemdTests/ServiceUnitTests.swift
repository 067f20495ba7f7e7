import Testing

@testable import LinuxOS

@Suite("The unit of a process")
struct ServiceUnitTests {
  @Test(
    "is the first group below the slices",
    arguments: [
      ("0::/system.slice/batond.service\n", "batond.service"),
      ("0::/system.slice/system-baton.slice/baton-vmm-a@vm1.service\n", "baton-vmm-a@vm1.service"),
      (
        "0::/baton.slice/baton-guest.slice/baton-guest-vm1:.slice/baton-vmm-b@vm1.service\n",
        "baton-vmm-b@vm1.service"
      ),
      ("0::/user.slice/user-7.slice/user@7.service/app.slice/baton-vmm-a@vm1.service\n", "user@7.service"),
      ("0::/system.slice/vmm.service/vcpus\n", "vmm.service"),
      ("0::/user.slice/user-1000.slice/session-2.scope\n", "session-2.scope"),
      ("12:cpu:/x\n1:name=systemd:/system.slice/vmm.service\n0::/\n", "vmm.service"),
    ])
  func found(_ text: String, _ unit: String) {
    #expect(ServiceUnit.name(in: text) == unit)
  }

  @Test(
    "is none outside of services",
    arguments: ["", "0::/\n", "0::/init\n", "0::/system.slice\n", "12:cpu:/vmm.service\n", "nonsense"])
  func none(_ text: String) {
    #expect(ServiceUnit.name(in: text) == nil)
  }
}

// swift-tools-version: 6.2
import PackageDescription

/// Every Swift target is built with the same strict settings; a warning is an error.
let strict: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

let argumentParser: Target.Dependency = .product(
  name: "ArgumentParser", package: "swift-argument-parser")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let cryptoExtras: Target.Dependency = .product(name: "CryptoExtras", package: "swift-crypto")
let histogram: Target.Dependency = .product(name: "Histogram", package: "hdrhistogram-swift")

let nio: [Target.Dependency] = [
  .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
  .product(name: "NIOSSL", package: "swift-nio-ssl"),
]

func library(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

func program(
  _ name: String, _ dependencies: [Target.Dependency], path: String? = nil, exclude: [String] = []
) -> Target {
  .executableTarget(
    name: name, dependencies: dependencies, path: path, exclude: exclude, swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .testTarget(name: name, dependencies: dependencies, swiftSettings: strict)
}

let package = Package(
  name: "baton",
  products: [
    .library(name: "Baton", targets: ["Baton"]),
    // The same for C; Scripts/build-libbaton links it as it is installed.
    .library(name: "baton", type: .dynamic, targets: ["BatonC"]),
    // Its functions for those who link Swift anyway, as the fuzzer does.
    .library(name: "BatonC", targets: ["BatonC"]),
    .library(name: "SEVModel", targets: ["SEVModel"]),
    .library(name: "BatonWire", targets: ["BatonWire"]),
    .library(name: "BatonCore", targets: ["BatonCore"]),
    .library(name: "Varlink", targets: ["Varlink"]),
    .library(name: "RegistryInterface", targets: ["RegistryInterface"]),
    .library(name: "SEVABI", targets: ["SEVABI"]),
    .library(name: "SEVCertificates", targets: ["SEVCertificates"]),
    .library(name: "KVM", targets: ["KVM"]),
    .library(name: "EncryptionStatus", targets: ["EncryptionStatus"]),
    .library(name: "MigrationCore", targets: ["MigrationCore"]),
    .library(name: "RemoteMigration", targets: ["RemoteMigration"]),
    .library(name: "ReferenceVMM", targets: ["ReferenceVMM"]),
    .executable(name: "batond", targets: ["batond"]),
    .executable(name: "baton-remote", targets: ["baton-remote"]),
    .executable(name: "batonctl", targets: ["batonctl"]),
    .executable(name: "baton-vmm", targets: ["baton-vmm"]),
    .executable(name: "sevmodeld", targets: ["sevmodeld"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
  ],
  targets: [
    // Floor 0: what Swift cannot import.
    .target(name: "CLinux"),
    .systemLibrary(
      name: "CSystemd", pkgConfig: "libsystemd", providers: [.apt(["libsystemd-dev"])]),

    // Floor 1: the operating system.
    library("LinuxOS", ["CLinux"]),

    // Floor 2: pure codecs.
    library("SEVABI"),
    library("BatonWire"),

    // Floor 3: pure machines.
    library("BatonCore", ["BatonWire"]),
    library("SEVCertificates", ["SEVABI", crypto, cryptoExtras]),
    library("EncryptionStatus", ["SEVABI"]),
    library("MigrationCore", ["BatonWire", "EncryptionStatus", "SEVABI", "SEVCertificates", crypto]),
    library("SEVModel", ["SEVABI", "SEVCertificates", crypto, cryptoExtras]),

    // Floor 4: devices and services of the host.
    library("KVM", ["CLinux", "LinuxOS"]),
    library("SEVDevice", ["CLinux", "SEVABI", "LinuxOS"]),
    library("Systemd", ["CSystemd", "LinuxOS"]),
    library("Varlink", []),
    library("RegistryInterface", ["BatonWire", "Varlink"]),

    // Floor 5: what the programs are made of.
    library("Baton", ["BatonCore", "BatonWire", "LinuxOS"]),
    .systemLibrary(name: "CBaton"),
    library(
      "BatonC",
      [
        "Baton", "BatonWire", "CBaton", "EncryptionStatus", "LinuxOS", "MigrationCore", "RemoteMigration",
        "SEVABI", "SEVCertificates", "SEVDevice",
      ]),
    .target(name: "GuestImage", exclude: ["Guest"], swiftSettings: strict),
    library(
      "RemoteMigration",
      [
        "Baton", "BatonWire", "EncryptionStatus", "KVM", "LinuxOS", "MigrationCore", "SEVABI",
        "SEVCertificates", "SEVDevice",
      ]),
    library(
      "ReferenceVMM",
      [
        "Baton", "BatonWire", "EncryptionStatus", "GuestImage", "KVM", "LinuxOS", "MigrationCore",
        "RemoteMigration", "SEVABI", "SEVCertificates", "SEVDevice", "Systemd",
      ]),
    library("RemoteService", ["BatonWire", "LinuxOS", "RegistryInterface", "Systemd", "Varlink"] + nio),
    library(
      "RegistryService",
      [
        "BatonCore", "BatonWire", "LinuxOS", "MigrationCore", "RegistryInterface", "Systemd", "Varlink",
        histogram,
      ]),
    library("ModelService", ["LinuxOS", "SEVABI", "SEVDevice", "SEVModel"]),

    // Floor 6: programs.
    program("batond", ["BatonWire", "LinuxOS", "RegistryService", "Systemd", argumentParser]),
    program("baton-remote", ["LinuxOS", "RemoteService", "Systemd", argumentParser]),
    program("batonctl", ["BatonWire", "LinuxOS", "RegistryInterface", "Systemd", "Varlink", argumentParser]),
    program("baton-vmm", ["LinuxOS", "ReferenceVMM", "Systemd", argumentParser]),
    program("sevmodeld", ["LinuxOS", "ModelService", "SEVModel", argumentParser]),
    // The shared object itself is linked by Scripts/with-sev-model: SwiftPM would link the Swift runtime into it.
    .target(name: "SEVModelPreload", dependencies: ["CLinux"]),

    // Tests, each a folder of sentences about one floor.
    tests("LinuxOSTests", ["LinuxOS"]),
    tests("BatonWireTests", ["BatonWire"]),
    tests("BatonCoreTests", ["BatonCore", "BatonWire"]),
    tests("SEVABITests", ["SEVABI"]),
    tests(
      "SystemdTests",
      ["BatonCore", "BatonWire", "Harness", "LinuxOS", "RegistryInterface", "RegistryService", "Systemd"]),
    tests("SEVCertificatesTests", ["SEVCertificates", "SEVABI", crypto, cryptoExtras]),
    tests("SEVModelTests", ["SEVModel", "SEVABI", "SEVCertificates", crypto, cryptoExtras]),
    tests(
      "MigrationCoreTests",
      ["MigrationCore", "BatonWire", "EncryptionStatus", "SEVABI", "SEVCertificates", crypto]),
    tests(
      "RemoteServiceTests",
      ["RemoteService", "BatonWire", "Harness", "LinuxOS", "RegistryInterface", "Varlink"] + nio),
    tests(
      "RemoteMigrationTests",
      [
        "RemoteMigration", "MigrationCore", "Baton", "BatonWire", "EncryptionStatus", "LinuxOS", "SEVDevice",
        "SEVABI",
      ]),
    tests("VarlinkTests", ["Varlink", "RegistryInterface"]),
    tests("BatonctlTests", ["batonctl", "BatonWire", "LinuxOS", "RegistryInterface", "Systemd", "Varlink"]),
    tests("KVMTests", ["KVM", "LinuxOS"]),
    tests("ModelServiceTests", ["ModelService", "SEVDevice", "SEVABI", "SEVModel", "LinuxOS"]),
    tests(
      "ReferenceVMMTests",
      [
        "BatonWire", "EncryptionStatus", "GuestImage", "KVM", "LinuxOS", "ReferenceVMM", "RemoteMigration",
        "SEVCertificates", "Systemd",
      ]),
    tests(
      "RegistryServiceTests",
      ["RegistryService", "BatonCore", "BatonWire", "LinuxOS", "RegistryInterface", "Systemd"]),
    tests("BatonTests", ["Baton", "BatonWire", "Harness", "LinuxOS", "RegistryInterface"]),
    program("example-vmm", ["Baton", "BatonWire", "LinuxOS"], path: "Tests/Example"),
    .target(
      name: "Harness", dependencies: ["LinuxOS", "BatonWire", "BatonCore", "RegistryInterface", "Varlink"],
      path: "Tests/Harness", swiftSettings: strict),
    program(
      "baton-demo", ["Harness", "RegistryInterface", "LinuxOS", argumentParser], path: "Tests/Demo"),
    program("sevmodel-vectors", ["LinuxOS", "SEVABI", "SEVModel", crypto], path: "Tests/Vectors"),
    program(
      "baton-bench",
      [
        "BatonWire", "Harness", "RegistryInterface", "LinuxOS", "SEVABI", "SEVDevice", "SEVModel",
        argumentParser, histogram,
      ],
      path: "Tests/Bench", exclude: ["Floor", "systemd"]),
    .executableTarget(name: "bench-floor", path: "Tests/Bench/Floor"),
    tests(
      "IntegrationTests",
      [
        "Harness", "Baton", "BatonWire", "BatonCore", "RegistryInterface", "Varlink", "LinuxOS",
      ]),
    program("baton-simulator", ["BatonCore", "BatonWire", "LinuxOS"], path: "Tests/Simulator"),
  ]
)

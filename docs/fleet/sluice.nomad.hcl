# SPDX-License-Identifier: MIT
# One VM of sluice as a Nomad job: the image of Containerfile, by the docker driver.
# docs/fleet.md says what of this was run, and what was not.
job "sluice-vm" {
  datacenters = ["dc1"]
  type        = "service"

  # Nomad does not look for KVM: say so in the client's configuration,
  # client { meta { kvm = "true" } }.
  constraint {
    attribute = "${meta.kvm}"
    value     = "true"
  }

  group "vm" {
    count = 1

    # The guest's port 80, by way of a port that Nomad has chosen.
    network {
      port "http" {
        to = 8080
      }
    }

    task "sluice" {
      driver = "docker"

      config {
        image = "registry.example/sluice:0.1.0"
        ports = ["http"]
        args  = ["run", "--config", "/local/vm.json", "--control", "/alloc/sluice.ctl", "--", "httpd", "-f", "-p", "80"]

        devices = [
          {
            host_path          = "/dev/kvm"
            container_path     = "/dev/kvm"
            cgroup_permissions = "rw"
          }
        ]

        cap_drop        = ["all"]
        readonly_rootfs = true

        # The descriptors of all flows that the limits below allow.
        ulimit {
          nofile = "16384:16384"
        }
      }

      template {
        destination = "local/vm.json"

        data = <<EOT
{
  "machine": { "memory": "512M", "cpus": 2 },
  "net": { "publish": ["0.0.0.0:8080:80"], "max_conns": 4096, "max_udp": 1024 },
  "policy": { "profile": "allowlist", "allow": ["tcp:*.debian.org:443"] },
  "log": { "format": "json" }
}
EOT
      }

      resources {
        cpu    = 2000
        memory = 640
      }

      # sluice ends at SIGTERM, and its guest with it.
      kill_timeout = "10s"
    }
  }
}
